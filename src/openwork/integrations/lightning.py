"""`LightningSparsity`: sparse training as a callback of Lightning."""

import os
from typing import Any

from torch import nn

from openwork.errors import ArgumentError
from openwork.integrations.course import SparseCallback, SparseCourse
from openwork.integrations.gradual_pruning import GradualPruning
from openwork.integrations.packages import imported
from openwork.nn import Plan
from openwork.observe import SparsityHistory
from openwork.train import GrowthSchedule

_Callback: Any = imported(("lightning.pytorch", "pytorch_lightning"), "lightning").Callback


class LightningSparsity(SparseCallback, _Callback):
    """Makes a network sparse before training, grows or prunes it meanwhile, compacts it in the end.

        trainer = Trainer(callbacks=[LightningSparsity(plan, network="model")])

    Layers change before the optimisers are made, and later the optimisers follow. Checkpoints are
    Lightning's own, and `fit(..., ckpt_path=...)` continues after growth and pruning too. Outside
    of a trainer such a checkpoint loads with `openwork.adopt_(model, checkpoint["state_dict"],
    prefix="model.")`.

    Args:
        plan: what the network is made sparse with before training; None (default) if it is sparse
            already or is pruned.
        init: how sparse layers start, as in `openwork.sparsify_`, default "rescale".
        growth: when the network grows; default never. One process only.
        pruning: when it is cut; default never. One process only.
        history: record of dead channels after each epoch, a `SparsityHistory` or the path of its
            CSV file; default none.
        compact_to: file for the network without its dead channels, written after training; load it
            with `openwork.load(path, build)`. Default none.
        network: name of the part of the LightningModule that is meant, such as "model"; default ""
            for the whole module.

    Attributes:
        history: the `SparsityHistory`, or None.
        report: what `openwork.compact` found at the end, or None.
    """

    def __init__(
        self,
        plan: Plan | None = None,
        *,
        init: str = "rescale",
        growth: GrowthSchedule | None = None,
        pruning: GradualPruning | None = None,
        history: SparsityHistory | str | os.PathLike[str] | None = None,
        compact_to: str | os.PathLike[str] | None = None,
        network: str = "",
    ) -> None:
        super().__init__()
        self._course = SparseCourse(plan, init, growth, pruning, history, compact_to)
        self._network = network

    def setup(self, trainer: Any, pl_module: nn.Module, stage: str) -> None:
        """Before the optimisers are made and a checkpoint is restored."""
        if stage != "fit":
            return
        self._course.check_processes(trainer.world_size, "trainer", "devices=1")
        self._course.begin_(self._of(pl_module))

    def on_train_batch_start(
        self, trainer: Any, pl_module: nn.Module, batch: Any, batch_idx: int
    ) -> None:
        """Before each batch: grow or cut."""
        self._course.before_step_(
            self._of(pl_module), trainer.optimizers, trainer.global_step, trainer.train_dataloader
        )

    def on_train_epoch_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """After each epoch: record dead channels."""
        self._course.after_epoch(self._of(pl_module), trainer.current_epoch + 1)

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """After training: compact."""
        self._course.finish(self._of(pl_module), trainer.train_dataloader)

    def _of(self, pl_module: nn.Module) -> nn.Module:
        try:
            return pl_module.get_submodule(self._network)
        except AttributeError as error:
            raise ArgumentError(
                f"`network`={self._network!r} is not a part of {type(pl_module).__name__}; it has "
                f"{', '.join(name for name, _ in pl_module.named_children())}"
            ) from error
