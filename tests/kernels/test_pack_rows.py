"""The arrays of the direct kernels: filter by filter, in the order of the positions."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

import numpy as np

from openwork.kernels.pack_rows import pack_depthwise, pack_direct, pack_taps
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


def test_depthwise_filters_name_their_channel_and_taps() -> None:
    # 2 filters for each of 2 channels, 1x2 kernels; filter 1 is dead, filter 2 lacks its first tap.
    weight = np.array([1, 2, 3, 4, 5], dtype=np.float32)
    geometry = Geometry(2, 4, (5, 6), (1, 2))
    problem = Problem(geometry, 2, np.array([0, 1, 5, 6, 7]), weight)
    channel, start, tap, packed = pack_depthwise(problem)
    assert channel.tolist() == [0, 0, 1, 1]
    assert start.tolist() == [0, 2, 2, 3, 5]
    assert tap.tolist() == [0, 1, 1, 0, 1]
    assert packed.tolist() == [1, 2, 3, 4, 5]
