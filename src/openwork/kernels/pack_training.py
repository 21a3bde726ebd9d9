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

import numpy as np

from openwork.kernels.live_taps import LiveTaps
from openwork.kernels.native import extension as _C
from openwork.kernels.pack_lists import pack_lists
from openwork.kernels.pack_rows import offsets_of, starts_of
from openwork.kernels.pack_spmm import columns_of
from openwork.kernels.to_native import native_geometry


def trainable_spmm(
    taps: LiveTaps, isa: str, vectors: int, chunk: int, group: int, in_place: bool
) -> "_C.Trainable":
    """A convolution as sparse matrix times gathered pixels."""
    rows, column = columns_of(taps.geometry, taps.inside, taps.tap)
    chunk = min(chunk, len(rows), 65535)
    place = taps.place.astype(np.int32)[None]
    filters = taps.geometry.out_channels
    packed = pack_lists(filters, len(rows), taps.out, column, place, chunk, group, False)
    *lists, order = packed.arrays()
    return _C.trainable_spmm(
        isa,
        native_geometry(taps.geometry),
        _C.ListIndices(*lists),
        order,
        *_channels(taps, rows),
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
    return _C.trainable_taps(
        isa,
        native_geometry(taps.geometry),
        starts_of(taps.geometry, taps.out),
        offsets_of(taps.geometry, taps.inside, taps.tap),
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
    rows, column = columns_of(taps.geometry, taps.inside, taps.tap)
    bound = _bounds(taps.geometry.out_channels, len(rows), taps.out, column, chunk)
    return _C.sampled_spmm(
        isa,
        native_geometry(taps.geometry),
        bound.reshape(-1),
        column.astype(np.int32),
        *_channels(taps, rows),
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


def _channels(taps: LiveTaps, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Arrays 7 and 8."""
    channel, tap = np.divmod(rows, taps.taps)
    return channel.astype(np.int32), tap.astype(np.uint16)


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
