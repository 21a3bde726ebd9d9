"""Memory that is lent to one kernel after another."""

import threading

import numpy as np

from openwork.ops.workspace import workspace


def test_it_grows_and_is_kept() -> None:
    small = workspace(10)
    assert small.dtype == np.float32
    assert small.size >= 10
    large = workspace(small.size + 1)
    assert large.size > small.size
    assert workspace(5) is large


def test_each_thread_has_its_own() -> None:
    found: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: found.append(workspace(10)))
    thread.start()
    thread.join()
    assert not np.shares_memory(found[0], workspace(10))
