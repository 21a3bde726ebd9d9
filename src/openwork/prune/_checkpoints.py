"""Networks between stages, kept in a folder so that a stopped run goes on from the last one."""

import copy
import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from openwork import io
from openwork._files import writable_folder
from openwork.errors import CheckpointError
from openwork.nn import densify_
from openwork.prune.stage import StageResult


class Checkpoints:
    """One file a stage in the folder `out`, each with the result of its stage.

    Args:
        out: made if need be; None keeps nothing.
        identity: what must be equal for a run to go on.

    Raises:
        OpenworkError: the folder cannot be written to.
    """

    def __init__(self, out: str | os.PathLike[str] | None, identity: Mapping[str, Any]) -> None:
        self._folder = writable_folder(out, "out") if out is not None else None
        self._identity = dict(identity)

    def path(self, index: int) -> Path | None:
        """The file of stage `index`, from 0."""
        return self._folder / f"stage-{index + 1}.safetensors" if self._folder else None

    def result(self, index: int) -> StageResult | None:
        """What stage `index` came to; None if it has not been finished here.

        Raises:
            CheckpointError: the file is damaged, or of another run.
        """
        path = self.path(index)
        if path is None or not path.exists():
            return None
        metrics = io.info(path).metrics
        stored = metrics.get("run")
        if stored != self._identity:
            raise CheckpointError(
                f"`out`={str(self._folder)!r} holds {path.name} of another run ({stored}, not "
                f"{self._identity}). Go on with the network and arguments it was begun with, or "
                "choose another folder"
            )
        return StageResult(**metrics["result"])

    def save(self, index: int, model: nn.Module, result: StageResult) -> None:
        """Keep `model` as it is after stage `index`."""
        path = self.path(index)
        # Under torchrun all processes hold the same network.
        if path is not None and os.environ.get("RANK", "0") == "0":
            io.save(model, path, metrics={"run": self._identity, "result": asdict(result)})

    def load(self, index: int, model: nn.Module) -> nn.Module:
        """The network after stage `index`; `model` is the one that the run began with."""
        path = self.path(index)
        if path is None:
            raise CheckpointError(f"stage {index + 1} was not kept; give `out`")
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        return io.load(path, build=lambda: densify_(copy.deepcopy(model)), device=device)


def digest_of(model: nn.Module) -> str:
    """SHA-256 over names and values of everything in the state of `model`, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
