"""Arrays that begin on a cache line, so that aligned vectors never straddle two."""

import numpy as np

_LINE = 64


def empty_bytes(count: int) -> np.ndarray:
    """`(count,)` uint8 of any content, from a multiple of 64 bytes on."""
    block = np.empty(count + _LINE, dtype=np.uint8)
    first = -block.ctypes.data % _LINE
    return block[first : first + count]


def empty_floats(*shape: int) -> np.ndarray:
    """float32 of `shape` and any content, from a multiple of 64 bytes on unless it is empty."""
    return empty_bytes(4 * int(np.prod(shape, dtype=np.int64))).view(np.float32).reshape(shape)
