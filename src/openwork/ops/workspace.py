"""One block of memory for each thread, lent to one kernel after another."""

import threading

import numpy as np

_local = threading.local()


def workspace(floats: int) -> np.ndarray:
    """At least `floats` float32; its contents last until the thread's next call.

    Kept between calls: fresh pages from the system take longer than some kernels do.
    """
    block = getattr(_local, "block", None)
    if block is None or block.size < floats:
        _local.block = block = np.empty(floats + floats // 8 + 16, dtype=np.float32)
    return block
