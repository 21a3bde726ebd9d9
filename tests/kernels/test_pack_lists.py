"""Packed lists say what the matrix says: unpacked by the rules of the format, it comes back."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from openwork.kernels.pack_lists import PackedLists, pack_lists


def _pack(matrix: np.ndarray, chunk: int, group: int) -> PackedLists:
    out, inside = np.nonzero(matrix)
    values = matrix[out, inside][None].astype(np.float32)
    rows, inputs = matrix.shape
    return pack_lists(rows, inputs, out, inside, values, chunk, group)


def _unpack(packed: PackedLists, shape: tuple[int, ...], chunk: int) -> np.ndarray:
    """The matrix, read entry by entry as csrc/simd/product.h does."""
    matrix = np.zeros(shape)
    for c, rows in enumerate(packed.row):
        for n, members in enumerate(rows):
            entry, weight = packed.entry_start[c, n], packed.weight_start[c, n]
            for mask, count in enumerate(packed.count[c, n], start=1):
                for _ in range(count):
                    column = c * chunk + packed.index[entry]
                    for bit, row in enumerate(members):
                        if mask >> bit & 1:
                            assert row >= 0
                            assert matrix[row, column] == 0
                            matrix[row, column] = packed.weight[0, weight]
                            weight += 1
                    entry += 1
    return matrix


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 20), st.integers(1, 30), st.floats(0, 1), st.integers(1, 40), st.integers(0))
@pytest.mark.parametrize("group", [1, 2, 4])
def test_the_matrix_comes_back(
    group: int, rows: int, inputs: int, density: float, chunk: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    matrix = draw.uniform(1, 2, (rows, inputs)).astype(np.float32)
    matrix *= draw.random((rows, inputs)) < density
    packed = _pack(matrix, chunk, group)
    assert np.array_equal(_unpack(packed, matrix.shape, chunk), matrix)
    places = [row[row >= 0] for row in packed.row.reshape(len(packed.row), -1)]
    assert all(sorted(place.tolist()) == list(range(rows)) for place in places)


def test_filters_that_read_the_same_inputs_share_their_entries() -> None:
    matrix = np.zeros((4, 32), dtype=np.float32)
    matrix[0::2, :16] = matrix[1::2, 16:] = 1
    packed = _pack(matrix, 32, 2)
    assert [set(row.tolist()) for row in packed.row[0]] == [{0, 2}, {1, 3}]
    assert packed.count[0].tolist() == [[0, 0, 16], [0, 0, 16]]
    assert len(packed.index) == 32
    assert packed.weight.shape == (1, 64)


@pytest.mark.parametrize(("chunk", "group"), [(0, 1), (65536, 1), (1, 3)])
def test_impossible_sizes_are_refused(chunk: int, group: int) -> None:
    with pytest.raises(ValueError, match=r"`chunk`=|`group`="):
        _pack(np.ones((2, 2)), chunk, group)
