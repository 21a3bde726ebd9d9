"""`SparseCourse`: what a callback does to a network from its first step to its last."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from openwork._call import call_of_batch
from openwork._copy import copied
from openwork.compact import CompactReport, compact
from openwork.errors import ArgumentError
from openwork.integrations.gradual_pruning import GradualPruning
from openwork.io import adopt_, save
from openwork.nn import Plan, sparsify_
from openwork.nn.change.optimizers import Optimizers
from openwork.nn.layers import sparse_layers
from openwork.observe import SparsityHistory
from openwork.train import GrowthSchedule

_LABELS = ("label", "labels", "label_ids")


class SparseCallback:
    """A callback that leads a network through its course, and what is known of that afterwards."""

    _course: "SparseCourse"

    @property
    def history(self) -> SparsityHistory | None:
        """The record of dead channels."""
        return self._course.history

    @property
    def report(self) -> CompactReport | None:
        """What compaction found."""
        return self._course.report


class SparseCourse:
    """What both callbacks do; their docstrings describe the arguments.

    Attributes:
        history: the record of dead channels, or None.
        report: what compaction found at the end, or None.
    """

    def __init__(
        self,
        plan: Plan | None,
        init: str,
        growth: GrowthSchedule | None,
        pruning: GradualPruning | None,
        history: SparsityHistory | str | os.PathLike[str] | None,
        compact_to: str | os.PathLike[str] | None,
    ) -> None:
        if growth is not None and pruning is not None:
            raise ArgumentError("`growth` and `pruning` exclude each other; give one of them")
        self._plan, self._init = plan, init
        self._growth, self._pruning, self._compact_to = growth, pruning, compact_to
        if history is not None and not isinstance(history, SparsityHistory):
            history = SparsityHistory(path=history)
        self.history = history
        self.report: CompactReport | None = None
        self._last = -1

    def check_processes(self, count: int, trainer: str, alone: str) -> None:
        """Require one process if parameters change their size while the network trains.

        Args:
            count: processes that train it.
            trainer: what starts them.
            alone: how to train with one, in words.

        Raises:
            ArgumentError: there are several.
        """
        if count > 1 and (self._growth is not None or self._pruning is not None):
            raise ArgumentError(
                f"`growth` and `pruning` need one process, and this {trainer} has {count}: "
                "DistributedDataParallel relies on the sizes of parameters. Train with "
                f"{alone}, or with openwork.train.fit, which wraps the model again"
            )

    def begin_(self, model: nn.Module) -> None:
        """Make `model` sparse, and let it take over the patterns of states that it loads."""
        if self._plan is not None and not sparse_layers(model):
            sparsify_(model, self._plan, init=self._init)
        hooks = model._load_state_dict_pre_hooks.values()
        if not any(getattr(hook, "hook", hook) is _adopt_first for hook in hooks):
            model.register_load_state_dict_pre_hook(_adopt_first)

    def before_step_(
        self, model: nn.Module, optimizer: Optimizers, step: int, batches: Iterable[Any]
    ) -> None:
        """Grow or cut `model` if it is due before training step `step`, from 0."""
        # With accumulated gradients several batches belong to one step.
        if step == self._last:
            return
        self._last = step
        if self._growth is not None:
            self._growth.step(model, optimizer, step)
        if self._pruning is not None:
            self._pruning.step(model, optimizer, step, _some(batches))

    def after_epoch(self, model: nn.Module, epoch: int) -> None:
        """Record the dead channels after epoch `epoch`, from 1."""
        if self.history is not None:
            self.history(model, epoch)

    def finish(self, model: nn.Module, batches: Iterable[Any]) -> None:
        """Write a compacted copy of `model`, if asked for; `model` is not changed."""
        if self._compact_to is None:
            return
        whole = copied(model).cpu().eval()
        whole._load_state_dict_pre_hooks.clear()
        example = call_of_batch(whole, next(iter(_some(batches)))).to("cpu", torch.float32)
        small, self.report = compact(whole, example)
        save(small, self._compact_to)


def _some(loader: Iterable[Any]) -> Iterator[Any]:
    """Training batches of `loader`, without moving it or the random state that training uses."""
    if isinstance(loader, DataLoader) and isinstance(loader.dataset, Sized):
        loader = DataLoader(
            loader.dataset,
            batch_size=loader.batch_size or getattr(loader.batch_sampler, "batch_size", 32),
            shuffle=True,
            generator=torch.Generator().manual_seed(0),
            collate_fn=loader.collate_fn,
        )
    for batch in loader:
        # With labels a network of Hugging Face gives its loss too, which is not one per image.
        if isinstance(batch, Mapping):
            batch = {key: value for key, value in batch.items() if key not in _LABELS}
        yield batch


def _adopt_first(model: nn.Module, state: Mapping[str, Any], prefix: str, *rest: Any) -> None:
    """Before `model` loads `state`: take over its patterns, if they differ."""
    own, given = _gaps(model.state_dict(prefix=prefix)), _gaps(state)
    if own.keys() == given.keys() and all(torch.equal(own[name], given[name]) for name in own):
        return
    adopt_(model, {k: v for k, v in state.items() if k.startswith(prefix)}, prefix=prefix)


def _gaps(state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    return {
        name: value.cpu()
        for name, value in state.items()
        if name.rpartition(".")[2] == "gaps" and isinstance(value, torch.Tensor)
    }
