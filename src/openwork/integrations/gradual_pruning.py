"""`GradualPruning`: cuts between training steps, until a share of the units is gone."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from openwork import prune
from openwork._arguments import check_choice, check_count
from openwork._call import call_of_batch
from openwork.errors import ArgumentError
from openwork.nn.change.optimizers import Optimizers
from openwork.prune.criteria import CRITERIA


@dataclass(frozen=True)
class GradualPruning:
    """A trained network is cut `steps` times while it trains on, at first much, then less.

    Part of the callbacks, and also for your own training loop:

        pruning = GradualPruning(0.7, begin=100, every=200)
        for step, batch in enumerate(loader):
            pruning.step(model, optimizer, step, loader)
            ...

    It keeps no state, so a resumed loop continues correctly from any step.

    Args:
        ratio: share of the kernels (or other units) of each layer that is gone after the last cut.
        granularity: what is cut, "kernel" (default), "feature_map", "intra_kernel" or "block".
        criterion: what is cut first, as in `prune.by_criterion`, default "l1"; not "taylor", which
            needs a loss.
        steps: number of cuts, default 5.
        begin: training step, from 0, before which the first cut is made, default 0.
        every: training steps between two cuts, default 100.
        layers: globs of the layers to cut; default all but first and last.
        recalibrate: batches over which the statistics of batch norms are measured again after each
            cut, default 10; 0 for never.

    Raises:
        ArgumentError: a value outside its range.
    """

    ratio: float
    granularity: str = "kernel"
    criterion: str = "l1"
    steps: int = 5
    begin: int = 0
    every: int = 100
    layers: Sequence[str] | None = None
    recalibrate: int = 10

    def __post_init__(self) -> None:
        check_choice("criterion", self.criterion, tuple(set(CRITERIA) - {"taylor"}))
        check_count("begin", self.begin, 0)
        check_count("every", self.every)
        check_count("recalibrate", self.recalibrate, 0)
        self._stages()

    def _stages(self) -> tuple[prune.Stage, ...]:
        return prune.in_steps(self.granularity, self.ratio, steps=self.steps)

    def step(
        self, model: nn.Module, optimizer: Optimizers, step: int, batches: Iterable[Any]
    ) -> bool:
        """Cut `model` if a cut is due. Call before each training step.

        Args:
            model: the network; its layers are replaced in place.
            optimizer: the optimiser that trains it, or several, which follow.
            step: number of the next training step, from 0.
            batches: training batches, such as a data loader; only the first ones are read, and only
                for a cut.

        Returns:
            Whether it was cut.

        Raises:
            ArgumentError: `batches` is empty, or as for `prune.by_criterion`.
        """
        index, rest = divmod(step - self.begin, self.every)
        stages = self._stages()
        if rest or not 0 <= index < len(stages):
            return False
        some = list(itertools.islice(batches, max(1, self.recalibrate)))
        if not some:
            raise ArgumentError("`batches` is empty; a cut needs at least one batch")
        device = next(model.parameters()).device
        stage = stages[index]
        plan = prune.by_criterion(
            model,
            self.criterion,
            granularity=stage.granularity,
            ratio=stage.ratio,
            of=stage.of,
            layers=self.layers,
            example=call_of_batch(model, some[0]).to(device),
            progress=False,
        )
        prune.apply_(model, plan, optimizer=optimizer)
        if self.recalibrate:
            prune.recalibrate_(model, some)
        return True
