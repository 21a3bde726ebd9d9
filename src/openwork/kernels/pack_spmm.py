"""Columns of a convolution's sparse matrix (csrc/simd/spmm.cpp): live pairs of channel and tap.

Beside the packed lists (pack_lists.py), whose inputs these are:

7. channel  int32  [inputs]  input channel that the column reads, in [0, in_channels)
8. tap      uint16 [inputs]  ky * kernel_x + kx

A plain 1x1 convolution, which the kernel may read in place, has all channels in order.
"""

import numpy as np

from openwork.kernels.problem import Geometry, Problem


def is_plain(geometry: Geometry) -> bool:
    """Whether each output pixel reads only the input pixel at the same place."""
    return (geometry.kernel, geometry.stride, geometry.padding) == ((1, 1), (1, 1), (0, 0))


def spmm_rows(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrays 7 and 8 as `channel * taps + tap`, and (filter, column) of each live tap, int64."""
    out, inside, tap = problem.units()
    rows, column = columns_of(problem.geometry, inside, tap)
    return rows, out, column


def columns_of(
    geometry: Geometry, inside: np.ndarray, tap: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Arrays 7 and 8 as `channel * taps + tap`, and the column of each live tap, int64."""
    pair = inside * (geometry.kernel[0] * geometry.kernel[1]) + tap
    if is_plain(geometry):
        return np.arange(geometry.in_channels), pair
    # A matrix has at least one column, even if no tap is live.
    live = np.flatnonzero(np.bincount(pair)) if pair.size else np.zeros(1, np.int64)
    return live, np.searchsorted(live, pair)
