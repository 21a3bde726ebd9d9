"""Packed lists say what the matrix says: unpacked by the rules of the format, it comes back."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from openwork.kernels.native import extension as _C
from openwork.kernels.pack_lists import PackedLists, pack_lists


def _pack(matrix: np.ndarray, chunk: int, group: int, **more: Any) -> PackedLists:
    out, inside = np.nonzero(matrix)
    rows, inputs = matrix.shape
    entries = out.astype(np.int32), inside.astype(np.int32)
    return pack_lists(rows, inputs, *entries, chunk, group, **more)


def _unpack(
    packed: PackedLists, values: np.ndarray, shape: tuple[int, int], chunk: int, group: int
) -> np.ndarray:
    """The matrix, read entry by entry as csrc/simd/product.h does; `values` in packed order."""
    matrix = np.zeros(shape)
    slots = -(-shape[1] // chunk), -(-shape[0] // group)
    row, count = packed.row.reshape(*slots, group), packed.count.reshape(*slots, -1)
    entry_start, weight_start = (
        packed.entry_start.reshape(slots),
        packed.weight_start.reshape(slots),
    )
    for c, rows in enumerate(row):
        for n, members in enumerate(rows):
            entry, weight = entry_start[c, n], weight_start[c, n]
            for mask, entries in enumerate(count[c, n], start=1):
                for _ in range(entries):
                    column = c * chunk + packed.index[entry]
                    for bit, row in enumerate(members):
                        if mask >> bit & 1:
                            assert row >= 0
                            assert matrix[row, column] == 0
                            matrix[row, column] = values[weight]
                            weight += 1
                    entry += 1
    return matrix


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 150),
    st.integers(1, 30),
    st.floats(0, 1),
    st.integers(1, 40),
    st.booleans(),
    st.integers(0),
)
@pytest.mark.parametrize("group", [1, 2, 4])
def test_the_matrix_comes_back(
    group: int, rows: int, inputs: int, density: float, chunk: int, alike: bool, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    matrix = draw.uniform(1, 2, (rows, inputs)).astype(np.float32)
    matrix *= draw.random((rows, inputs)) < density
    packed = _pack(matrix, chunk, group, alike=alike)
    values = matrix[matrix != 0][packed.order]
    assert np.array_equal(_unpack(packed, values, matrix.shape, chunk, group), matrix)
    places = packed.row.reshape(-1, -(-rows // group) * group)
    assert all(sorted(place[place >= 0].tolist()) == list(range(rows)) for place in places)
    if not alike:
        neighbours = packed.row.reshape(-1, group)
        starts = neighbours[:, 0] % _C.filter_block
        assert (starts % group == 0).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 70), st.integers(1, 12), st.floats(0, 1), st.integers(1, 5), st.integers(0))
@pytest.mark.parametrize("group", [1, 2, 4])
def test_entries_of_several_taps_are_packed_as_if_each_were_given(
    group: int, rows: int, inputs: int, density: float, taps: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    live = draw.random((rows, inputs)) < density
    chunk = int(draw.integers(1, inputs + 1))
    packed = _pack(live, chunk, group, taps=taps)
    every = _pack(np.repeat(live, taps, axis=1), chunk * taps, group)
    for one, other in zip(packed.indices(), every.indices(), strict=True):
        assert np.array_equal(one, other)
    # Weights of one kernel's taps lie as many places apart as the mask has bits.
    kernels = _kernels_by_weight(packed, taps, group)
    assert np.array_equal(every.order // taps, kernels)


def _kernels_by_weight(packed: PackedLists, taps: int, group: int) -> np.ndarray:
    found: list[list[int]] = []
    order = iter(packed.order.tolist())
    for counts in packed.count.reshape(-1, 2**group - 1):
        for mask, count in enumerate(counts.tolist(), start=1):
            for _ in range(count // taps):
                kernels = [next(order) for _ in range(mask.bit_count())]
                found += [kernels] * taps
    return np.array([each for kernels in found for each in kernels], dtype=np.int64)


def test_filters_that_read_the_same_inputs_share_their_entries() -> None:
    matrix = np.zeros((4, 32), dtype=np.float32)
    matrix[0::2, :16] = matrix[1::2, 16:] = 1
    packed = _pack(matrix, 32, 2)
    assert [set(row.tolist()) for row in packed.row.reshape(2, 2)] == [{0, 2}, {1, 3}]
    assert packed.count.reshape(2, 3).tolist() == [[0, 0, 16], [0, 0, 16]]
    assert len(packed.index) == 32
    assert len(packed.order) == 64


@pytest.mark.parametrize(("chunk", "group"), [(0, 1), (65536, 1), (1, 3)])
def test_impossible_sizes_are_refused(chunk: int, group: int) -> None:
    with pytest.raises(ValueError, match=r"`chunk`=|`group`="):
        _pack(np.ones((2, 2)), chunk, group)


SIZES = {"rows": 3, "inputs": 4, "taps": 1, "chunk": 2, "group": 1, "alike": True}


@pytest.mark.parametrize(
    ("out", "inside"),
    [
        ([0, 0], [1, 1]),
        ([1, 0], [0, 0]),
        ([0, 0], [2, 1]),
        ([0, 3], [0, 0]),
        ([-1, 0], [0, 0]),
        ([0, 1], [0, 4]),
        ([0, 1], [-1, 0]),
        ([0, 1], [2**31 - 1, 0]),
        ([0], [0, 1]),
        ([0, 1], [0]),
    ],
)
def test_entries_outside_the_matrix_or_out_of_order_are_refused(
    out: list[int], inside: list[int]
) -> None:
    with pytest.raises(ValueError, match=r"`out`|`inside`"):
        _C.pack_lists(np.array(out, np.int32), np.array(inside, np.int32), **SIZES)


@pytest.mark.parametrize("value", [-(2**63), -1, 0, 2**21, 2**31 - 1, 2**31, 2**40, 2**63 - 1])
@pytest.mark.parametrize("name", ["rows", "inputs", "taps", "chunk", "group"])
def test_sizes_out_of_bounds_are_refused(name: str, value: int) -> None:
    none = np.zeros(0, np.int32)
    if (name, value) == ("inputs", 2**21):
        value = 2**30 + 1
    with pytest.raises(ValueError, match=f"`{name}"):
        _C.pack_lists(none, none, **{**SIZES, name: value})


def test_a_chunk_of_too_many_columns_is_refused() -> None:
    none = np.zeros(0, np.int32)
    with pytest.raises(ValueError, match=r"`chunk \* taps`=65536 must lie in"):
        _C.pack_lists(none, none, **{**SIZES, "inputs": 128, "chunk": 64, "taps": 1024})


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_arrays_of_other_types_are_refused(dtype: type) -> None:
    with pytest.raises(TypeError):
        _C.pack_lists(np.zeros(1, dtype), np.zeros(1, np.int32), **SIZES)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(-2, 9), st.integers(-2, 9)), max_size=12),
    st.integers(-1, 9),
    st.integers(-1, 9),
    st.integers(-1, 4),
    st.integers(-1, 9),
    st.integers(-1, 5),
    st.booleans(),
)
def test_any_entries_are_packed_or_refused(
    entries: list[tuple[int, int]],
    rows: int,
    inputs: int,
    taps: int,
    chunk: int,
    group: int,
    alike: bool,
) -> None:
    out = np.array([a for a, _ in entries], np.int32)
    inside = np.array([b for _, b in entries], np.int32)
    good = (
        min(rows, inputs, taps, chunk) >= 1
        and group in (1, 2, 4)
        and all(0 <= a < rows and 0 <= b < inputs for a, b in entries)
        and all(one < other for one, other in pairwise(entries))
    )
    sizes = {"rows": rows, "inputs": inputs, "taps": taps, "chunk": chunk, "group": group}
    with nullcontext() if good else pytest.raises(ValueError, match="`"):
        found = _C.pack_lists(out, inside, **sizes, alike=alike)
        assert sorted(found[5]) == list(range(len(entries)))
