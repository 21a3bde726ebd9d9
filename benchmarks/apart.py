"""`apart`: work in a separate process with limits, so that a crash is a result too."""

import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


def apart(
    work: Callable[[], Any],
    failed: Callable[[str], Any],
    seconds: float,
    gigabytes: float | None = None,
) -> Any:
    """What `work` returns; what `failed` makes of the reason where it does not return.

    Args:
        work: runs in a fork of this process; its result must be one that pickle takes.
        failed: is given the error, or that the process crashed or took too long.
        seconds: how long it may take.
        gigabytes: how much memory it may take, default no limit.
    """
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    process = fork.Process(target=_send, args=(theirs, work, failed, gigabytes))
    process.start()
    theirs.close()
    try:
        return ours.recv() if ours.poll(seconds) else failed(f"took more than {seconds:g} s")
    except EOFError:
        return failed("crashed")
    finally:
        process.kill()
        process.join()


def _send(
    pipe: Connection, work: Callable[[], Any], failed: Callable[[str], Any], gigabytes: float | None
) -> None:
    if gigabytes is not None:
        limit = int(gigabytes * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        found = work()
    except Exception as error:
        found = failed(in_words(error))
    pipe.send(found)


def in_words(error: Exception) -> str:
    """An error in one line of at most about 300 characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
