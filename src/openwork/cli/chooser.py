"""How `openwork prune` chooses what each stage removes."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import nn

from openwork import prune as pruning
from openwork.nn import Plan
from openwork.prune import Stage
from openwork.prune.error_of import Evaluate


@dataclass(frozen=True, eq=False)
class Chooser:
    """Chooses a plan by a search or by a criterion.

    Attributes:
        evaluate: the error on the held-out images.
        criterion, candidates, layers, seed: options of the command.
        batches: batches of training images, for criteria that need them.
        out: folder for the log of a search.
        data: identity of the held-out images.
        ray: Ray cluster for a search.
    """

    evaluate: Evaluate
    criterion: str
    candidates: int
    layers: list[str] | None
    batches: list[Any]
    seed: int
    out: Path
    data: dict[str, Any]
    ray: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that determines the choice."""
        names = ["criterion", "layers", "seed", "data"]
        names += ["candidates"] if self.criterion == "search" else []
        return {name: getattr(self, name) for name in names}

    def __call__(self, model: nn.Module, stage: Stage, index: int) -> Plan:
        if self.criterion != "search":
            return self._by_criterion(model, stage, self.criterion, self.batches, progress=True)
        return pruning.search(
            model,
            self.evaluate,
            candidates=self.candidates,
            seed=self.seed,
            layers=self.layers,
            log=self.out / f"search-{index + 1}.jsonl",
            identity={"data": self.data},
            ray=self.ray,
            **dataclasses.asdict(stage),
        )

    def check(self, model: nn.Module, later: Sequence[Stage]) -> None:
        """Raise now what a later stage would otherwise raise only after earlier retraining.

        A ratio that is too high for the whole network is also too high for a narrower one.
        """
        name = "random" if self.criterion == "search" else self.criterion
        for stage in later:
            self._by_criterion(model, stage, name, self.batches[:1], progress=False)

    def _by_criterion(
        self, model: nn.Module, stage: Stage, name: str, batches: list[Any], *, progress: bool
    ) -> Plan:
        return pruning.by_criterion(
            model,
            name,
            batches=batches,
            loss=F.cross_entropy,
            seed=self.seed,
            layers=self.layers,
            progress=progress,
            **dataclasses.asdict(stage),
        )
