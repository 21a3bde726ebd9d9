"""Arrays that begin on a cache line."""

import numpy as np
import pytest

from openwork.runtime.memory import empty_bytes, empty_floats


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (2, 0, 4), (1000,)], ids=str)
def test_arrays_begin_on_a_line_and_may_be_written(shape: tuple[int, ...]) -> None:
    array = empty_floats(*shape)
    assert (array.shape, array.dtype) == (shape, np.float32)
    # numpy does not move the start of a slice that holds nothing.
    assert array.size == 0 or array.ctypes.data % 64 == 0
    assert array.flags.c_contiguous
    array[...] = 1
    assert (empty_bytes(7).shape, empty_bytes(7).dtype) == ((7,), np.uint8)
