"""Packing for training: lists without weights, and the order in which a call's weights fill them.

Beside the arrays of pack_lists.py, pack_spmm.py and pack_rows.py:

9.  order  int32 [units]           place among a call's live weights of each packed one, or of each
                                   packed whole kernel; of its connection if Winograd
10. step   int32 [taps]            from a kernel's place to those of its taps; [0] for single taps
11. tap    int32 [connections][9]  Winograd: place of each tap, -1 for dead ones; left out if every
                                   connection has nine, one after another

For gradients of live weights (csrc/simd/sampled.h), entries in canonical order:

12. bound  int32 [chunks + 1][filters]  first entry of each filter in each chunk; the last row ends
                                        them
13. index  uint16 [entries]             column of each entry within its chunk

For depthwise layers, whose kernels are whole (csrc/training.h):

14. filter   int32 [in_channels]  transposed: the filter that reads each channel; 0 if none does
15. kernel   int32 [in_channels]  transposed: its kernel in 9; -1 if none reads the channel
16. filter   int32 [connections]  sampled: output channel of each connection, in canonical order
17. channel  int32 [connections]  sampled: its input channel
"""

from typing import cast

import numpy as np

from openwork.kernels.native import extension as _C
from openwork.kernels.pack_lists import pack_lists
from openwork.kernels.pack_rows import channels_read, offsets_of, starts_of
from openwork.kernels.pack_spmm import is_plain, live_columns
from openwork.kernels.to_native import native_geometry
from openwork.kernels.training.live_taps import LiveTaps

_MOST_CHUNK = 65535


def trainable_spmm(
    taps: LiveTaps, isa: str, vectors: int, chunk: int, group: int, in_place: bool
) -> "_C.Trainable":
    """A convolution as sparse matrix times gathered pixels."""
    rows, column = _columns(taps)
    unit = len(taps.step)
    inputs = len(rows) // unit
    chunk = _unit_chunk(chunk, inputs, unit)
    packed = pack_lists(
        taps.geometry.out_channels, inputs, taps.out, column, chunk, group, False, unit
    )
    return _C.trainable_spmm(
        isa,
        native_geometry(taps.geometry),
        _C.ListIndices(*packed.indices()),
        taps.place[packed.order],
        taps.step,
        *_channels(taps, rows),
        live=taps.weights,
        chunk=chunk * unit,
        group=group,
        vectors=vectors,
        in_place=in_place,
    )


def trainable_winograd(
    taps: LiveTaps, isa: str, output: int, vectors: int, chunk: int, group: int
) -> "_C.Trainable":
    """A 3x3 convolution with stride 1, in tiles of `output` x `output` pixels."""
    g = taps.geometry
    out, inside, places = _connections(taps)
    chunk = min(chunk, g.in_channels, _MOST_CHUNK)
    packed = pack_lists(g.out_channels, g.in_channels, out, inside, chunk, group, False)
    whole = places is None
    return _C.trainable_winograd(
        isa,
        native_geometry(g),
        _C.ListIndices(*packed.indices()),
        taps.place[packed.order] // np.int32(9) if whole else packed.order,
        places,
        live=taps.weights,
        connections=taps.weights // 9 if whole else len(out),
        flipped=bool(whole and taps.step[0] > taps.step[-1]),
        chunk=chunk,
        group=group,
        vectors=vectors,
        output=output,
    )


def trainable_taps(taps: LiveTaps, isa: str, rows: int, vectors: int, flat: bool) -> "_C.Trainable":
    """A convolution by single live taps."""
    each = taps.single()
    return _C.trainable_taps(
        isa,
        native_geometry(taps.geometry),
        starts_of(taps.geometry, each.out),
        offsets_of(taps.geometry, each.inside, cast(np.ndarray, each.tap)),
        taps.place,
        taps.step,
        live=taps.weights,
        rows=rows,
        vectors=vectors,
        flat=flat,
    )


def trainable_direct(taps: LiveTaps, isa: str, rows: int, vectors: int) -> "_C.Trainable":
    """A convolution with stride 1 by whole live kernels."""
    by_column = taps.step.reshape(taps.geometry.kernel).T
    return _C.trainable_direct(
        isa,
        native_geometry(taps.geometry),
        starts_of(taps.geometry, taps.out),
        taps.inside,
        taps.place,
        np.ascontiguousarray(by_column).reshape(-1),
        live=taps.weights,
        rows=rows,
        vectors=vectors,
    )


def trainable_depthwise(taps: LiveTaps, isa: str) -> "_C.Trainable":
    """A convolution whose filters read one input channel each."""
    each = taps.single()
    return _C.trainable_depthwise(
        isa,
        native_geometry(taps.geometry),
        channels_read(taps.geometry.out_channels, each.out, each.inside),
        starts_of(taps.geometry, each.out),
        cast(np.ndarray, each.tap).astype(np.uint16),
        taps.place,
        taps.step,
        live=taps.weights,
    )


def transposed_depthwise(taps: LiveTaps, isa: str) -> "_C.Trainable":
    """The input's gradient of a layer with stride 2 whose channels are read by one filter each."""
    channels = taps.geometry.in_channels
    kernel = np.full(channels, -1, np.int32)
    kernel[taps.inside] = np.arange(len(taps.inside), dtype=np.int32)
    return _C.transposed_depthwise(
        isa,
        native_geometry(taps.geometry),
        channels_read(channels, taps.inside, taps.out),
        kernel,
        taps.place,
        taps.step,
        live=taps.weights,
    )


def sampled_depthwise(taps: LiveTaps, isa: str) -> "_C.Sampled":
    """The weight's gradient of whole live kernels, one by one."""
    return _C.sampled_depthwise(isa, native_geometry(taps.geometry), taps.out, taps.inside)


def sampled_spmm(
    taps: LiveTaps, isa: str, vectors: int, chunk: int, in_place: bool
) -> "_C.Sampled":
    """The weight's gradient of any convolution."""
    rows, column = _columns(taps)
    unit = len(taps.step)
    inputs = len(rows) // unit
    chunk = _unit_chunk(chunk, inputs, unit)
    bound = _bounds(taps.geometry.out_channels, inputs, taps.out, column, chunk)
    first = (column % np.int32(chunk) * np.int32(unit)).astype(np.uint16)
    index = first[:, None] + np.arange(unit, dtype=np.uint16)
    return _C.sampled_spmm(
        isa,
        native_geometry(taps.geometry),
        (bound * np.int32(unit)).reshape(-1),
        index.reshape(-1),
        *_channels(taps, rows),
        chunk=chunk * unit,
        vectors=vectors,
        in_place=in_place,
    )


def sampled_winograd(taps: LiveTaps, isa: str, vectors: int, chunk: int) -> "_C.Sampled":
    """The weight's gradient of a 3x3 convolution with stride 1."""
    g = taps.geometry
    out, inside, places = _connections(taps)
    chunk = min(chunk, g.in_channels, _MOST_CHUNK)
    bound = _bounds(g.out_channels, g.in_channels, out, inside, chunk)
    return _C.sampled_winograd(
        isa,
        native_geometry(g),
        bound.reshape(-1),
        (inside % np.int32(chunk)).astype(np.uint16),
        places,
        live=taps.weights,
        chunk=chunk,
        vectors=vectors,
    )


def sampled_direct(taps: LiveTaps, isa: str) -> "_C.Sampled":
    """The weight's gradient of whole live 3x3 kernels with stride 1."""
    g = taps.geometry
    bound = _bounds(g.out_channels, g.in_channels, taps.out, taps.inside, g.in_channels)
    index = taps.inside.astype(np.uint16)
    return _C.sampled_direct(isa, native_geometry(g), bound.reshape(-1), index)


def _connections(taps: LiveTaps) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """(output, input, array 11) of each live connection."""
    # Places of a kernel's nine taps rise or fall all along.
    if taps.tap is None and abs(taps.step[-1] - taps.step[0]) == 8:
        return taps.out, taps.inside, None
    out, inside, places = taps.connections()
    return out, inside, places.reshape(-1)


def _columns(taps: LiveTaps) -> tuple[np.ndarray, np.ndarray]:
    """Arrays 7 and 8 as `channel * taps + tap`, and the column of each unit, in units."""
    g = taps.geometry
    if is_plain(g):
        return np.arange(g.in_channels), taps.inside
    if taps.tap is not None:
        pair = taps.inside * np.int32(taps.taps) + taps.tap
        return live_columns(pair, g.in_channels * taps.taps)
    channels, column = live_columns(taps.inside, g.in_channels)
    return (channels[:, None] * taps.taps + np.arange(taps.taps)).reshape(-1), column


def _unit_chunk(chunk: int, inputs: int, unit: int) -> int:
    """Inputs in chunks of about `chunk` columns, `unit` for each input: kernels stay whole."""
    return min(inputs, max(1, min(chunk, _MOST_CHUNK) // unit))


def _channels(taps: LiveTaps, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Arrays 7 and 8."""
    channel, tap = np.divmod(rows, taps.taps)
    return channel.astype(np.int32), tap.astype(np.uint16)


def _bounds(
    filters: int, inputs: int, out: np.ndarray, index: np.ndarray, chunk: int
) -> np.ndarray:
    """Array 12."""
    chunks = -(-inputs // chunk)
    counts = np.bincount(out * chunks + index // chunk, minlength=filters * chunks)
    ends = np.cumsum(counts).reshape(filters, chunks)
    first = np.concatenate([[0], ends[:-1, -1]])[:, None]
    return np.ascontiguousarray(np.concatenate([first, ends], axis=1).T, dtype=np.int32)
