"""The arrays of the direct kernels: filter by filter, in the order of the positions."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

import numpy as np

from openwork.kernels.pack_rows import pack_direct, pack_taps
from openwork.kernels.problem import Geometry, Problem


def _problem(kernel: tuple[int, int], positions: np.ndarray) -> Problem:
    weight = np.arange(len(positions), dtype=np.float32)
    return Problem(Geometry(2, 3, (5, 6), kernel), 1, positions.astype(np.int64), weight)


def test_whole_kernels_lie_column_by_column() -> None:
    # Filter 0 reads input 1, filter 2 both inputs.
    start, index, weight = pack_direct(_problem((3, 3), np.r_[9:18, 36:54]))
    assert start.tolist() == [0, 1, 1, 3]
    assert index.tolist() == [1, 0, 1]
    assert weight[:9].tolist() == [0, 3, 6, 1, 4, 7, 2, 5, 8]
    assert (start.dtype, index.dtype, weight.dtype) == (np.int64, np.int32, np.float32)


def test_single_taps_are_distances_in_the_padded_planes() -> None:
    start, offset, weight = pack_taps(_problem((2, 2), np.array([0, 1, 4, 9])))
    assert start.tolist() == [0, 3, 4, 4]
    assert weight.tolist() == [0, 1, 2, 3]
    assert offset[1] - offset[0] == 1  # the neighbour to the right
    # Filter 1 reads the same tap of the same channel as filter 0 did second.
    assert offset[3] == offset[1]
    assert offset[2] > offset[1]  # the next channel lies behind
