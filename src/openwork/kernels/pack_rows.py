"""Packing for the direct kernels (csrc/simd/direct, taps and depthwise.cpp): filters one by one.

Direct, whole kernels:

1. start   int64 [out_channels + 1]  first connection of each filter in 2; rising, from 0
2. index   int32 [connections]       input channel, in [0, in_channels)
3. weight  float32 [connections][kernel_x][kernel_y], the order in which the tile reads

Taps, single taps:

1. start   int64 [out_channels + 1]  first tap of each filter in 2
2. offset  int32 [taps]              floats from the start of the padded planes (csrc/simd/planes.h)
                                     to what the tap of output (0, 0) reads; depends on the map size
3. weight  float32 [taps]

Depthwise, filters that read one input channel each:

1. channel  int32  [out_channels]      input channel, in [0, in_channels); 0 if no tap is live
2. start    int64  [out_channels + 1]  first tap of each filter in 3; rising, from 0
3. tap      uint16 [taps]              ky * kernel_x + kx, rising within a filter
4. weight   float32 [taps]

Nothing is read beyond the arrays' ends. The padded planes are over-read by less than one tile, for
which the workspace has room.
"""

import numpy as np

from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Geometry, Problem
from openwork.kernels.to_native import native_geometry

# Kernels with a template in csrc/simd/direct.cpp, for stride and dilation 1.
DIRECT_KERNELS = ((3, 3), (5, 5))


def pack_direct(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrays 1 to 3 of the direct kernel, flat."""
    out, inside, kernels = problem.connections()
    by_column = kernels.reshape(-1, *problem.geometry.kernel).transpose(0, 2, 1)
    return starts_of(problem.geometry, out), inside, by_column.reshape(-1).copy()


def pack_taps(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrays 1 to 3 of the taps kernel, flat; array 2 alone depends on the map's size."""
    out, inside, tap = problem.units()
    size = ("taps", *problem.geometry.size)
    offset = problem.packed(size, lambda: offsets_of(problem.geometry, inside, tap))
    start = problem.packed(("starts",), lambda: starts_of(problem.geometry, out))
    return start, offset, problem.packed(("weight",), problem.weight.copy)


def pack_depthwise(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Arrays 1 to 4 of the depthwise kernel, flat."""
    out, inside, tap = problem.units()
    channel = channels_read(problem.geometry.out_channels, out, inside)
    return channel, starts_of(problem.geometry, out), tap.astype(np.uint16), problem.weight.copy()


def channels_read(filters: int, out: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Array 1 of the depthwise kernel."""
    channel = np.zeros(filters, dtype=np.int32)
    channel[out] = inside
    return channel


def starts_of(geometry: Geometry, out: np.ndarray) -> np.ndarray:
    """First entries of the filters, and the number of all entries."""
    counts = np.bincount(out, minlength=geometry.out_channels)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def offsets_of(geometry: Geometry, inside: np.ndarray, tap: np.ndarray) -> np.ndarray:
    """Array 2 of the taps kernel."""
    *offsets, channel = _C.tap_offsets(native_geometry(geometry))
    offset = inside * np.int64(channel) + np.array(offsets, dtype=np.int64)[tap]
    if offset.size and offset.max() >= 2**31:
        raise ValueError(f"the padded input has over 2^31 floats: {int(offset.max())}")
    return offset.astype(np.int32)


def padded_floats(geometry: Geometry) -> int:
    """Floats of the padded planes of one image."""
    *_, channel = _C.tap_offsets(native_geometry(geometry))
    return channel * geometry.in_channels
