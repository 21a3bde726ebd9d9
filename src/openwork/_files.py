"""Files are read only if they are ordinary ones, and written so that no partial one remains.

A full disk or a killed process leaves the earlier file. What the process had written by then is
removed when the same file is written again.
"""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from openwork._locks import open_for_lock, try_lock
from openwork.errors import ArgumentError, CheckpointError, DataError, OpenworkError

# The umask cannot be read without setting it; at import no other thread writes files yet.
_UMASK = os.umask(0)
os.umask(_UMASK)
# Bytes of a text that a person wrote, such as a plan; every pattern of a VGG-16 takes 20 MB.
_LONGEST_TEXT = 1 << 26
# `.NAME.RANDOM.partial` is the file that becomes NAME, or the folder of it.
_PARTIAL = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}\.partial", re.DOTALL)
# Bytes of a file's name at most, on nearly every file system.
_LONGEST_NAME = 255 - len("..12345678.partial")
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def check_path(path: Any, argument: str = "path") -> None:
    """It is a path: a text, or what stands for one, such as a pathlib.Path.

    Raises:
        ArgumentError: it is anything else, also bytes and the number of an open file.
    """
    try:
        given = path if isinstance(path, str) else os.fspath(path)
    except TypeError:
        given = path
    if not isinstance(given, str):
        raise ArgumentError(
            f"`{argument}` is a {type(given).__name__}, {given!r:.60}, but must be a path, such as "
            "'model.safetensors' or a pathlib.Path"
        )


def open_file(path: str | os.PathLike[str]) -> BufferedReader:
    """Open the ordinary file at `path` for reading bytes, without waiting for a writer.

    Raises:
        OSError: it cannot be opened, its path is not one, or it is a FIFO, device or other thing
            that reading might wait for, change or never end with.
        ArgumentError: `path` is not a path.
    """
    check_path(path)
    with _only_os_errors(path):
        # Before it is opened: that alone has an effect on some devices.
        _check_ordinary(path, os.stat(path).st_mode)
        flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    try:
        _check_ordinary(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_text(path: str | os.PathLike[str], most: int = _LONGEST_TEXT) -> str:
    """The UTF-8 text in the ordinary file at `path`.

    Raises:
        OSError: as for `open_file`, or the file has more than `most` bytes.
        UnicodeDecodeError: it is not UTF-8.
    """
    with open_file(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content.decode()


def _check_ordinary(path: str | os.PathLike[str], mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for holds, name in _KINDS if holds(mode)), "something else")
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(code, f"it is {kind}, not a file", str(path))


@contextlib.contextmanager
def _only_os_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the ValueError for a path that no system takes into an OSError."""
    try:
        yield
    except ValueError as error:
        raise OSError(errno.EINVAL, f"not a path ({error})", str(path)) from error


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], apart: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`.

    If the body fails, the temporary file is removed and an earlier file at `path` is intact.

    Args:
        path: of the file.
        apart: whether the temporary path lies in a separate folder, for writers that make further
            files beside theirs, which a killed process would leave. Default False.

    Raises:
        OSError: `path` cannot be written to, or is a folder, FIFO, device or socket, which a
            renamed file would replace.
        ArgumentError: `path` is not a path.
    """
    check_path(path)
    path = Path(path)
    # Windows has no descriptors of folders.
    apart = apart and os.name != "nt"
    with _only_os_errors(path):
        with contextlib.suppress(FileNotFoundError):
            _check_ordinary(path, os.stat(path).st_mode)
        name = _short(path.name)
        remove_partial(path.parent, name)
        descriptor, partial = _new_partial(path.parent, name, apart)
    temporary = partial / "file" if apart else partial
    try:
        yield temporary
        # mkstemp sets mode 0600; the finished file gets the mode that open() would set.
        temporary.chmod(0o666 & ~_UMASK)
        _sync(temporary)
        temporary.replace(path)
    except BaseException:
        # What failed before is the error to show.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    finally:
        if apart:
            shutil.rmtree(partial, ignore_errors=True)
        os.close(descriptor)
    _sync(path.parent)


def remove_partial(folder: Path, name: str | None = None) -> None:
    """Remove what killed processes left of the file `name` in `folder`, or of all files.

    What a living process writes is locked by it, and stays.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _PARTIAL.fullmatch(entry.name)
            ours = match and name in (None, match["name"])
            if ours and (
                entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)
            ):
                remove_abandoned(Path(entry.path))


def remove_abandoned(path: Path) -> None:
    """Remove the file or folder at `path` unless a process has it locked, or it cannot be."""
    try:
        folder = path.is_dir()
        descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    except OSError:
        return
    try:
        if try_lock(descriptor):
            shutil.rmtree(path, ignore_errors=True) if folder else path.unlink(missing_ok=True)
    except OSError:
        return
    finally:
        os.close(descriptor)


def _new_partial(folder: Path, name: str, apart: bool) -> tuple[int, Path]:
    """A new file that becomes `name`, or its folder: locked while its descriptor is open."""
    named = {"dir": folder, "prefix": f".{name}.", "suffix": ".partial"}
    while True:
        if apart:
            partial = tempfile.mkdtemp(**named)
            try:
                descriptor = os.open(partial, os.O_RDONLY)
            except FileNotFoundError:
                continue
        else:
            descriptor, partial = tempfile.mkstemp(**named)
        # Before it was locked, another process may have taken it for abandoned.
        if try_lock(descriptor) is not False and os.fstat(descriptor).st_nlink:
            return descriptor, Path(partial)
        os.close(descriptor)


def _short(name: str) -> str:
    """`name`, or what stands for it where the name of its partial file would be too long."""
    encoded = os.fsencode(name)
    if len(encoded) <= _LONGEST_NAME:
        return name
    return hashlib.sha256(encoded).hexdigest()


@contextlib.contextmanager
def locked_folder(path: Path, argument: str) -> Iterator[None]:
    """Keep other processes and threads from writing the run in the folder `path` meanwhile.

    Raises:
        CheckpointError: one of them holds it; the message names `argument`.
        OpenworkError: the folder cannot be written to.
    """
    lock = path / _LOCK
    while True:
        with writing(lock):
            descriptor = open_for_lock(lock)
        held = try_lock(descriptor)
        # The holder before may have removed it since it was opened.
        if held is not False and os.fstat(descriptor).st_nlink:
            break
        os.close(descriptor)
        if held is False:
            raise CheckpointError(
                f"`{argument}`={str(path)!r} is in use by another run; wait until that has ended, "
                "or choose another folder"
            )
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(descriptor)


_LOCK = ".lock"


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` as UTF-8, all of it or nothing."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


@contextlib.contextmanager
def writing(
    path: str | os.PathLike[str], kind: type[OpenworkError] = OpenworkError, argument: str = ""
) -> Iterator[None]:
    """Turn an OSError in the body into an error which says that `path` could not be written.

    It names `argument`, if given, and says what helps.

    Raises:
        OpenworkError: of the class `kind`, for an OSError.
    """
    try:
        yield
    except OSError as error:
        name = f"`{argument}`={str(path)!r}" if argument else repr(str(path))
        raise kind(
            f"{name} could not be written ({why(error)}); an earlier file there is unharmed. "
            f"{remedy(error)}"
        ) from error


def remedy(error: OSError) -> str:
    """What helps after a file could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Free some space, or choose another folder"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "Make its folder first, or choose another"
    return "Choose a folder that you may write to"


def writable_folder(path: str | os.PathLike[str], argument: str) -> Path:
    """Create the folder `path` if needed, and check that files can be written there.

    Raises:
        OpenworkError: the folder cannot be created or written to; the message names `argument`.
        ArgumentError: `path` is not a path.
    """
    check_path(path, argument)
    path = Path(path)
    try:
        with _only_os_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass
    except OSError as error:
        reason = why(error)
        if isinstance(error, FileExistsError | NotADirectoryError):
            reason = "it, or a folder that it lies in, is a file"
        raise OpenworkError(
            f"`{argument}`={str(path)!r} cannot be written to ({reason}); "
            "choose a folder that you may write to"
        ) from error
    return path


def writable_file(path: str | os.PathLike[str], argument: str) -> None:
    """Check, before long work for it, that a file can be written at `path`; create its folder.

    Raises:
        OpenworkError: as for `writable_folder`, or there is a folder at `path`.
        ArgumentError: `path` is not a path.
    """
    check_path(path, argument)
    if os.path.isdir(path):
        raise OpenworkError(f"`{argument}`={str(path)!r} is a folder; name a file in it")
    writable_folder(Path(path).parent, argument)


def not_there(path: str | os.PathLike[str], wanted: str) -> str:
    """What to say of a `path` that is not `wanted`, such as "a file"."""
    return f"is not {wanted}" if os.path.exists(path) else "does not exist"


def unreadable(path: str | os.PathLike[str], error: OSError) -> CheckpointError:
    """The error for a checkpoint that cannot be opened or read."""
    return CheckpointError(
        f"`path`={str(path)!r} is not a file that can be read ({why(error)}); check the path"
    )


def why(error: Exception) -> str:
    """The reason in `error`, without the path that an OSError repeats."""
    return getattr(error, "strerror", None) or str(error)


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
