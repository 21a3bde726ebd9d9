"""Where a command writes its result, without overwriting another network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openwork import io
from openwork._identity import difference
from openwork.cli.run import model_path
from openwork.errors import ArgumentError, CheckpointError
from openwork.train.run_folder import MODEL, STATE


def result_path(out: Path, run: Path, by: Mapping[str, Any]) -> Path:
    """The file in the folder `out` that the network is written to.

    Args:
        out: option of the command; the folder need not exist.
        run: folder or checkpoint that the command reads.
        by: the command, its settings and its network, as plain data; recorded as `by` in the
            metrics of the file, so that the same command can be run again.

    Raises:
        ArgumentError: `out` is the folder of `run`, or holds another network.
    """
    if out.resolve() == model_path(run).resolve().parent:
        raise ArgumentError(
            f"`out`={str(out)!r} is the folder of `run`={str(run)!r}, whose network would be lost; "
            "choose another folder"
        )
    path = out / MODEL
    why = _of_another(path, by) if path.exists() else ""
    if (out / STATE).exists():
        why = "it is a run's folder"
    if why:
        raise ArgumentError(
            f"`out`={str(out)!r} holds another network, which would be lost: {why}. Choose another "
            "folder"
        )
    return path


def _of_another(path: Path, by: Mapping[str, Any]) -> str:
    """Why the file at `path` is not what `by` says, or ""."""
    try:
        stored = io.info(path).metrics.get("by")
    except CheckpointError:
        stored = None
    return difference(stored, by) if stored else "it does not say which command wrote it"
