"""Columns of a convolution's sparse matrix (csrc/simd/spmm.cpp): live pairs of channel and tap.

Beside the packed lists (pack_lists.py), whose inputs these are:

7. channel  int32  [inputs]  input channel that the column reads, in [0, in_channels)
8. tap      uint16 [inputs]  ky * kernel_x + kx

A plain 1x1 convolution, which the kernel may read in place, has all channels in order.
"""

import numpy as np

from openwork.kernels.native import extension as _C
from openwork.kernels.pack_lists import pack_lists
from openwork.kernels.problem import Geometry, Problem


def is_plain(geometry: Geometry) -> bool:
    """Whether each output pixel reads only the input pixel at the same place."""
    return (geometry.kernel, geometry.stride, geometry.padding) == ((1, 1), (1, 1), (0, 0))


def spmm_rows(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrays 7 and 8 as `channel * taps + tap`, and (filter, column) of each live tap, int32."""
    out, inside, tap = problem.units()
    g = problem.geometry
    taps = g.kernel[0] * g.kernel[1]
    if is_plain(g):
        return np.arange(g.in_channels), out, inside
    rows, column = live_columns(inside * np.int32(taps) + tap, g.in_channels * taps)
    return rows, out, column


def pack_spmm(
    problem: Problem, chunk: int, group: int
) -> "tuple[_C.Lists, np.ndarray, np.ndarray]":
    """The packed lists, and arrays 7 and 8."""
    rows, out, inside = spmm_rows(problem)
    packed = pack_lists(problem.geometry.out_channels, len(rows), out, inside, chunk, group)
    channel, tap = np.divmod(rows, problem.taps)
    lists = _C.Lists(*packed.indices(), problem.weight[packed.order])
    return lists, channel.astype(np.int32), tap.astype(np.uint16)


def live_columns(pair: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers below `most` that occur in `pair`, rising, and each pair's place among them."""
    # A matrix has at least one column, even if no tap is live.
    live = np.flatnonzero(np.bincount(pair, minlength=1)) if pair.size else np.zeros(1, np.int64)
    place = np.zeros(most, np.int32)
    place[live] = np.arange(len(live))
    return live, place[pair]
