"""A lock is held once, and let go when its file is closed."""

import os
from pathlib import Path

from openwork._locks import open_for_lock, try_lock


def test_the_second_waits_for_the_first_to_close(tmp_path: Path) -> None:
    first, second = (open_for_lock(tmp_path / "lock") for _ in range(2))
    try:
        assert (try_lock(first), try_lock(first), try_lock(second)) == (True, True, False)
        os.close(first)
        first = open_for_lock(tmp_path / "lock")
        assert (try_lock(second), try_lock(first)) == (True, False)
    finally:
        os.close(first)
        os.close(second)


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        try_lock(open_for_lock(tmp_path / "lock"))
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    descriptor = open_for_lock(tmp_path / "lock")
    assert try_lock(descriptor) is True
    os.close(descriptor)


def test_what_cannot_be_locked_is_neither_held_nor_free(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    os.close(descriptor)
    assert try_lock(descriptor) is None
