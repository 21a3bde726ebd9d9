"""Packing for training: lists without weights, and the order in which a call's weights fill them.

Beside the arrays of pack_lists.py, pack_spmm.py and pack_rows.py:

9.  order  int32 [packed]          place among a call's live weights of each packed one; of its
                                   connection if Winograd
10. tap    int32 [connections][9]  Winograd: place of each tap, -1 for dead ones; left out if every
                                   connection has nine, one after another

For gradients of live weights (csrc/simd/sampled.h), entries in canonical order:

11. bound  int32 [chunks + 1][filters]  first entry of each filter in each chunk; the last row ends
                                        them
12. index  int32 [entries]              column of each entry
"""

from dataclasses import dataclass

import numpy as np

from openwork.kernels.live_taps import LiveTaps
from openwork.kernels.native import extension as _C
from openwork.kernels.pack_lists import pack_lists
from openwork.kernels.pack_spmm import is_plain
from openwork.kernels.to_native import native_geometry


@dataclass(frozen=True, eq=False)
class Columns:
    """Arrays 7 and 8, and the column of each live tap."""

    channel: np.ndarray
    tap: np.ndarray
    index: np.ndarray


def columns_of(taps: LiveTaps) -> Columns:
    """The columns of a convolution's sparse matrix."""
    g = taps.geometry
    if is_plain(g):
        every = np.arange(g.in_channels, dtype=np.int32)
        return Columns(every, np.zeros(g.in_channels, np.uint16), taps.inside)
    pair = taps.inside * taps.taps + taps.tap
    live = np.flatnonzero(np.bincount(pair)) if pair.size else np.zeros(1, np.int64)
    channel, tap = np.divmod(live, taps.taps)
    return Columns(channel.astype(np.int32), tap.astype(np.uint16), np.searchsorted(live, pair))


def trainable_spmm(
    taps: LiveTaps, isa: str, vectors: int, chunk: int, group: int, in_place: bool
) -> "_C.Trainable":
    """A convolution as sparse matrix times gathered pixels."""
    columns = columns_of(taps)
    inputs = len(columns.channel)
    chunk = min(chunk, inputs, 65535)
    place = taps.place.astype(np.int32)[None]
    filters = taps.geometry.out_channels
    packed = pack_lists(filters, inputs, taps.out, columns.index, place, chunk, group, False)
    *lists, order = packed.arrays()
    return _C.trainable_spmm(
        isa,
        native_geometry(taps.geometry),
        _C.ListIndices(*lists),
        order,
        columns.channel,
        columns.tap,
        live=taps.weights,
        chunk=chunk,
        group=group,
        vectors=vectors,
        in_place=in_place,
    )


def trainable_winograd(
    taps: LiveTaps, isa: str, output: int, vectors: int, chunk: int, group: int
) -> "_C.Trainable":
    """A 3x3 convolution with stride 1, in tiles of `output` x `output` pixels."""
    out, inside, places = taps.connections()
    g = taps.geometry
    chunk = min(chunk, g.in_channels, 65535)
    flipped = places.size > 0 and places[0, 0] > places[0, -1]
    straight = places[:, ::-1] if flipped else places
    connection, table = np.arange(len(out)), places.reshape(-1)
    if _is_whole(straight):
        connection, table = straight[:, 0] // 9, None
    value = connection.astype(np.int32)[None]
    packed = pack_lists(g.out_channels, g.in_channels, out, inside, value, chunk, group, False)
    *lists, order = packed.arrays()
    return _C.trainable_winograd(
        isa,
        native_geometry(g),
        _C.ListIndices(*lists),
        order,
        table,
        live=taps.weights,
        connections=len(out),
        flipped=bool(flipped and table is None),
        chunk=chunk,
        group=group,
        vectors=vectors,
        output=output,
    )


def trainable_taps(taps: LiveTaps, isa: str, rows: int, vectors: int, flat: bool) -> "_C.Trainable":
    """A convolution by single live taps."""
    geometry = native_geometry(taps.geometry)
    *offsets, channel = _C.tap_offsets(geometry)
    offset = taps.inside * channel + np.array(offsets, dtype=np.int64)[taps.tap]
    counts = np.bincount(taps.out, minlength=taps.geometry.out_channels)
    return _C.trainable_taps(
        isa,
        geometry,
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        offset.astype(np.int32),
        taps.place.astype(np.int32),
        live=taps.weights,
        rows=rows,
        vectors=vectors,
        flat=flat,
    )


def sampled_spmm(
    taps: LiveTaps, isa: str, vectors: int, chunk: int, in_place: bool
) -> "_C.Sampled":
    """The weight's gradient of any convolution."""
    columns = columns_of(taps)
    filters, inputs = taps.geometry.out_channels, len(columns.channel)
    bound = _bounds(filters, inputs, taps.out, columns.index, chunk)
    return _C.sampled_spmm(
        isa,
        native_geometry(taps.geometry),
        bound.reshape(-1),
        columns.index.astype(np.int32),
        columns.channel,
        columns.tap,
        chunks=len(bound) - 1,
        vectors=vectors,
        in_place=in_place,
    )


def sampled_winograd(taps: LiveTaps, isa: str, vectors: int, chunk: int) -> "_C.Sampled":
    """The weight's gradient of a 3x3 convolution with stride 1."""
    out, inside, places = taps.connections()
    g = taps.geometry
    bound = _bounds(g.out_channels, g.in_channels, out, inside, chunk)
    return _C.sampled_winograd(
        isa,
        native_geometry(g),
        bound.reshape(-1),
        inside.astype(np.int32),
        None if _is_whole(places) else places.reshape(-1),
        live=taps.weights,
        chunks=len(bound) - 1,
        vectors=vectors,
    )


def _is_whole(places: np.ndarray) -> bool:
    """Whether every connection has its nine taps one after another, from a multiple of nine."""
    rising = (places - places[:, :1] == np.arange(9)).all()
    return bool(rising and (places[:, 0] % 9 == 0).all())


def _bounds(
    filters: int, inputs: int, out: np.ndarray, index: np.ndarray, chunk: int
) -> np.ndarray:
    """Array 11."""
    chunk = min(chunk, inputs)
    chunks = -(-inputs // chunk)
    counts = np.bincount(out * chunks + index // chunk, minlength=filters * chunks)
    ends = np.cumsum(counts).reshape(filters, chunks)
    first = np.concatenate([[0], ends[:-1, -1]])[:, None]
    return np.ascontiguousarray(np.concatenate([first, ends], axis=1).T, dtype=np.int32)
