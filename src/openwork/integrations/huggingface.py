"""`HuggingFaceSparsity`: sparse training as a callback of Hugging Face's Trainer."""

import os
from typing import Any

from torch import nn

from openwork.integrations.course import SparseCallback, SparseCourse
from openwork.integrations.gradual_pruning import GradualPruning
from openwork.integrations.packages import imported
from openwork.nn import Plan
from openwork.observe import SparsityHistory
from openwork.train import GrowthSchedule

_Callback: Any = imported(("transformers",), "huggingface").TrainerCallback


class HuggingFaceSparsity(SparseCallback, _Callback):
    """Makes a network sparse before training, grows or prunes it meanwhile, compacts it in the end.

        trainer = Trainer(model, args, train_dataset=data, callbacks=[HuggingFaceSparsity(plan)])

    The network is changed when the Trainer is made, before its optimiser, which later follows.
    Checkpoints are the Trainer's own, and `train(resume_from_checkpoint=...)` continues after
    growth and pruning too. Outside of a Trainer such a checkpoint loads with `openwork.adopt_`.

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
    ) -> None:
        self._course = SparseCourse(plan, init, growth, pruning, history, compact_to)

    def on_init_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """When the Trainer is made: the network becomes sparse."""
        self._course.check_processes(args.world_size, "Trainer", "one process")
        self._course.begin_(given["model"])

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Before each step: grow or cut."""
        # Accelerate wraps the optimiser.
        optimizer = getattr(given["optimizer"], "optimizer", given["optimizer"])
        self._course.before_step_(
            given["model"], optimizer, state.global_step, given["train_dataloader"]
        )

    def on_epoch_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """After each epoch: record dead channels."""
        self._course.after_epoch(given["model"], round(state.epoch))

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """After training: compact."""
        model: nn.Module = given["model"]
        self._course.finish(model, given["train_dataloader"])
