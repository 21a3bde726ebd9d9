"""Any file with a network as one that runs without torch."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from openwork import runtime
from openwork._files import check_path, unreadable
from openwork._foreign import ONNX, kind_of_file
from openwork.errors import ArgumentError, CheckpointError
from openwork.runtime.packed.opened import is_packed


@contextlib.contextmanager
def runnable(path: str | os.PathLike[str], workers: int) -> Iterator[Path]:
    """A file that `openwork.runtime.load` takes, for the block.

    An ONNX file is compiled. For several processes the network is packed, so that they share its
    memory, unless it cannot be.

    Args:
        path: of what `openwork.save` wrote of a compiled network, of a packed file or an ONNX file.
        workers: processes that load it.

    Raises:
        CheckpointError: the file is missing, or an ONNX file that is not read.
    """
    check_path(path)
    given = Path(path)
    try:
        kind = kind_of_file(path)
    except OSError as error:
        raise unreadable(path, error) from error
    with tempfile.TemporaryDirectory(prefix="openwork-") as folder:
        if kind == ONNX:
            given = _compiled(given, Path(folder))
        if workers > 1 and not is_packed(given):
            packed = Path(folder) / "packed.ow"
            with contextlib.suppress(ArgumentError, CheckpointError):
                runtime.pack(given, packed)
                given = packed
        yield given


def _compiled(path: Path, folder: Path) -> Path:
    # Torch takes long to import, and files that are compiled already do not need it.
    from openwork import engine, io

    compiled = folder / "compiled.safetensors"
    io.save(engine.compile(path), compiled)
    return compiled
