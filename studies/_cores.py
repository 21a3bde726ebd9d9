"""Cells take turns on a machine's cores: each holds one per thread."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from openwork._locks import open_for_lock, try_lock

CORES = os.cpu_count() or 1


class OutOfTimeError(Exception):
    """The budget is spent; the run can be resumed later."""


def machine_locks() -> Path:
    """What the names of this machine's locks begin with, one a core, for each user."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    return Path(tempfile.gettempdir()) / f"openwork-studies-{user}"


@contextlib.contextmanager
def cores(locks: Path, count: int | None, deadline: float) -> Iterator[None]:
    """Wait for `count` of the cores, or all if there are fewer, and hold them.

    Args:
        locks: what the names of the cores' locks begin with.
        count: at least 1; None for all.
        deadline: until when to wait, on `time.monotonic`'s clock.

    Raises:
        OutOfTimeError: the budget was spent on waiting.
    """
    with contextlib.ExitStack() as held:
        while not _take(held, locks, min(count or CORES, CORES)):
            wait(deadline)
        yield


@contextlib.contextmanager
def locked(path: Path, deadline: float) -> Iterator[None]:
    """Wait until no other cell holds the file at `path`, and hold it.

    Raises:
        OutOfTimeError: the budget was spent on waiting.
    """
    with contextlib.ExitStack() as held:
        while not _lock(held, path):
            wait(deadline)
        yield


def _take(held: contextlib.ExitStack, locks: Path, count: int) -> bool:
    """Lock `count` of the cores, or none."""
    with contextlib.ExitStack() as taken:
        left = count
        for core in range(CORES):
            # A cell that cannot get enough must not keep them from others.
            if left > CORES - core:
                return False
            left -= _lock(taken, locks.with_name(f"{locks.name}-{core}.lock"))
            if not left:
                held.push(taken.pop_all())
                return True
    return False


def _lock(held: contextlib.ExitStack, path: Path) -> bool:
    descriptor = open_for_lock(path)
    if try_lock(descriptor) is False:
        os.close(descriptor)
        return False
    held.callback(os.close, descriptor)
    return True


def wait(deadline: float) -> None:
    """Let others work for a moment.

    Raises:
        OutOfTimeError: it is past `deadline`, on `time.monotonic`'s clock.
    """
    if time.monotonic() >= deadline:
        raise OutOfTimeError
    time.sleep(0.2)
