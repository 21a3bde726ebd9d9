"""The dense kernel's matrix: filters taken a few at a time, inputs one after another."""

import numpy as np

from openwork.kernels.pack_dense import pack_dense
from openwork.kernels.problem import Geometry, Problem


def test_filters_of_a_group_lie_side_by_side_and_the_last_group_is_filled() -> None:
    # 3 filters of 2 channels and 2 taps; the weight's value is filter * 10 + column.
    values = np.arange(3)[:, None] * 10 + np.arange(4)
    weight = values.reshape(-1).astype(np.float32)
    problem = Problem(Geometry(2, 3, (4, 4), (1, 2)), 1, np.arange(12), weight)
    channel, tap, packed = pack_dense(problem, 2)
    assert channel.tolist() == [0, 0, 1, 1]
    assert tap.tolist() == [0, 1, 0, 1]
    assert packed.tolist() == [0, 10, 1, 11, 2, 12, 3, 13, 20, 0, 21, 0, 22, 0, 23, 0]
    assert (channel.dtype, tap.dtype, packed.dtype) == (np.int32, np.uint16, np.float32)
