"""Networks between stages, kept in a folder so that a stopped run can be resumed."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from openwork import io
from openwork._files import writable_folder
from openwork._identity import difference, digest_of
from openwork.errors import CheckpointError
from openwork.io.plain import plain
from openwork.nn import densify_
from openwork.prune.stages.stage import Stage, StageResult


class Checkpoints:
    """One file for each stage in the folder `out`, with the network and the result of the stage.

    Args:
        out: the folder, created if necessary; None keeps nothing.
        model: the network that the run starts with.
        identity: what else must be equal for a run to be resumed.
        stages: what is cut. A run is resumed from a file if the stages up to it are equal; later
            ones may differ.

    Raises:
        OpenworkError: the folder cannot be written to.
        ArgumentError: `identity` is not plain data.
    """

    def __init__(
        self,
        out: str | os.PathLike[str] | None,
        model: nn.Module,
        identity: Mapping[str, Any],
        stages: Sequence[Stage] = (),
    ) -> None:
        self._folder = writable_folder(out, "out") if out is not None else None
        self._stages = [asdict(stage) for stage in stages]
        # A digest reads the whole network, so it is computed only if there is a folder.
        full_identity = {} if out is None else {"model": digest_of(model), **identity}
        self._identity = plain("identity", full_identity)

    def path(self, index: int) -> Path | None:
        """The file of stage `index`, from 0."""
        return self._folder / f"stage-{index + 1}.safetensors" if self._folder else None

    def result(self, index: int) -> StageResult | None:
        """The result of stage `index`; None if the folder does not hold it.

        Raises:
            CheckpointError: the file is damaged, or of another run.
        """
        path = self.path(index)
        if path is None or not path.exists():
            return None
        try:
            metrics = io.info(path).metrics
            stored = dict(metrics.get("run") or {})
            result = StageResult(**metrics["result"]) if stored else None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{str(path)!r} does not hold the result of a stage ({error}); use an unchanged "
                "copy, or choose another folder"
            ) from error
        if "stages" in stored:
            # Files of version 0.1.0 name the later stages too.
            stored["stages"] = stored["stages"][: index + 1]
        why = difference(stored, self._identity_at(index))
        if why:
            why = why if stored else "no pruning wrote it"
            raise CheckpointError(
                f"`out`={str(self._folder)!r} holds {path.name} of another run: {why}. Resume with "
                "the network and arguments it was started with, or choose another folder"
            )
        return result

    def save(self, index: int, model: nn.Module, result: StageResult) -> None:
        """Save `model` as it is after stage `index`, with the result of the stage."""
        path = self.path(index)
        # Under torchrun all processes have the same network.
        if path is not None and os.environ.get("RANK", "0") == "0":
            metrics = {"run": self._identity_at(index), "result": asdict(result)}
            io.save(model, path, metrics=metrics)

    def restore_(self, index: int, model: nn.Module) -> nn.Module:
        """Turn `model`, the network that the run started with, into the one after stage `index`.

        Raises:
            CheckpointError: there is no folder, or the file cannot be read.
        """
        path = self.path(index)
        if path is None:
            raise CheckpointError(f"stage {index + 1} was not kept; give `out`")
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        return io.load(path, build=lambda: densify_(model), device=device)

    def _identity_at(self, index: int) -> dict[str, Any]:
        stages = {"stages": self._stages[: index + 1]} if self._stages else {}
        return self._identity | stages
