"""Write files so that a crash, a full disk or a killed process never leaves a partial one."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from openwork.errors import DataError, OpenworkError

# The umask cannot be read without setting it; at import no other thread writes files yet.
_UMASK = os.umask(0)
os.umask(_UMASK)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`.

    If the body fails, the temporary file is removed and an earlier file at `path` is intact.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp sets mode 0600; the finished file gets the mode that open() would set.
        temporary.chmod(0o666 & ~_UMASK)
        _sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` as UTF-8, all of it or nothing."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


@contextlib.contextmanager
def writing(
    path: str | os.PathLike[str], kind: type[OpenworkError] = OpenworkError
) -> Iterator[None]:
    """Turn an OSError in the body into an error which says that `path` could not be written.

    Raises:
        OpenworkError: of the class `kind`, for an OSError.
    """
    try:
        yield
    except OSError as error:
        raise kind(
            f"{str(path)!r} could not be written ({error.strerror or error}); an earlier file "
            "there is unharmed. Free some space, or choose a folder that you may write to"
        ) from error


def writable_folder(path: str | os.PathLike[str], argument: str) -> Path:
    """Create the folder `path` if needed, and check that files can be written there.

    Raises:
        OpenworkError: the folder cannot be created or written to; the message names `argument`.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OpenworkError(
            f"`{argument}`={str(path)!r} cannot be written to ({error.strerror}); "
            "choose a folder that you may write to"
        ) from error
    return path


def cache_folder() -> Path:
    """`$OPENWORK_CACHE`, else `$XDG_CACHE_HOME/openwork`, else `~/.cache/openwork`.

    Raises:
        DataError: neither variable is set and there is no home folder.
    """
    try:
        if ours := os.environ.get("OPENWORK_CACHE"):
            return Path(ours).expanduser()
        if shared := os.environ.get("XDG_CACHE_HOME"):
            return Path(shared).expanduser() / "openwork"
        return Path.home() / ".cache" / "openwork"
    except RuntimeError as error:
        raise DataError(
            "there is no home folder for the cache of decoded data sets; set `OPENWORK_CACHE` to a "
            "writable folder"
        ) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
