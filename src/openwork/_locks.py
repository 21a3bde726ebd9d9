"""Locks on open files: one process holds each at a time, and loses it when it ends, however."""

import errno
import os

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# What a file system answers that has no locks; NFS wants the file open for writing (EBADF).
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL}


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file or folder until it is closed.

    Returns:
        True if this succeeded, False if another process or thread holds it, None where there are
        no locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        return False
    return True


def open_for_lock(path: str | os.PathLike[str]) -> int:
    """A descriptor of the file at `path`, which is created if needed, that can be locked."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.open(path, flags, 0o666)
