"""Packing of pairs: each live weight has one place, beside the input that it multiplies."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

from collections.abc import Callable
from typing import Any

import kernel_cases as cases
import numpy as np
import pair_reference as reference
import torch

from openwork.kernels.narrow.pack_pairs import (
    SHARED,
    in_pairs,
    lists_of,
    shares_columns,
    to_bfloat16,
)
from openwork.kernels.native import extension as _C
from openwork.kernels.pack_spmm import spmm_rows
from openwork.kernels.problem import Problem
from openwork.kernels.to_native import native_geometry

CASES = [
    cases.Case(9, 11, (5, 5), (1, 1), padding=(0, 0), pattern=pattern)
    for pattern in ("random", "dense", "dead-filters", "all-dead", "blocks")
] + [cases.Case(5, 17, (5, 5), pattern=pattern) for pattern in ("taps", "dense", "one-tap")]


def _matrix(problem: Problem, chunk: int, group: int) -> np.ndarray:
    """The dense matrix of weights that packed lists stand for; each place may be named once."""
    columns = len(spmm_rows(problem)[0])
    chunk = min(chunk, columns)
    packed = in_pairs(lists_of(problem, chunk, group), group, to_bfloat16(problem.weight))
    matrix = np.full((problem.geometry.out_channels, columns), np.nan, np.float32)
    masks = [*range(1, 2**group)] if group < SHARED else [2**SHARED - 1]
    row, count = packed.row.reshape(-1, group), packed.count.reshape(-1, len(masks))
    index, weight = packed.index.reshape(-1, 2), packed.weight.view(np.uint16).reshape(-1, 2)
    groups = -(-len(matrix) // group)
    pair = place = 0
    for slot in range(len(row)):
        assert packed.entry_start[slot] == 2 * pair
        assert packed.weight_start[slot] == place
        for mask, pairs in zip(masks, count[slot], strict=True):
            for inputs in index[pair : pair + pairs]:
                for reader in (g for g in range(group) if mask >> g & 1):
                    for input, word in zip(inputs, weight[place], strict=True):
                        at = row[slot, reader], slot // groups * chunk + int(input) - 1
                        if input == 0 or at[0] < 0:
                            assert word == 0
                            continue
                        assert np.isnan(matrix[at])
                        matrix[at] = reference.widened(word[None])[0]
                    place += 1
            pair += pairs
    assert (pair, place) == (len(index), len(weight))
    return matrix


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 1000])
def test_each_live_weight_is_packed_once(case: cases.Case, chunk: int) -> None:
    problem = case.problem()
    columns, out, inside = spmm_rows(problem)
    wanted = np.full((case.outputs, len(columns)), np.nan, np.float32)
    wanted[out, inside] = reference.rounded(problem.weight)
    groups = (1, 2, 4, SHARED) if shares_columns(problem) else (1, 2, 4)
    for group in groups:
        np.testing.assert_array_equal(_matrix(problem, chunk, group), wanted)


@pytest.mark.parametrize(
    ("case", "shares"),
    [
        (cases.Case(5, 16, (3, 3), pattern="dense"), True),
        (cases.Case(5, 19, (3, 3), pattern="dense"), True),
        (cases.Case(5, 16, (3, 3), pattern="all-dead"), True),
        (cases.Case(12, 16, (3, 3), pattern="random"), False),
        (cases.Case(12, 16, (3, 3), pattern="blocks"), False),
        (cases.Case(4, 16, (3, 3), groups=2, pattern="dense"), True),
        (cases.Case(4, 12, (3, 3), groups=2, pattern="dense"), False),
    ],
    ids=str,
)
def test_filters_that_share_their_inputs_in_eights_are_found(
    case: cases.Case, shares: bool
) -> None:
    assert shares_columns(case.problem()) == shares


def test_rounding_is_to_the_nearest_halves_to_even() -> None:
    random = np.random.default_rng(0)
    bits = random.integers(0, 2**32, 100_000, dtype=np.uint32)
    # Halves between two bfloat16, whose lower half is 0x8000.
    bits[::3] = bits[::3] & np.uint32(0xFFFF0000) | np.uint32(0x8000)
    numbers = bits.view(np.float32)
    normal = np.isfinite(numbers) & (np.abs(numbers) >= np.finfo(np.float32).smallest_normal)
    wanted = torch.from_numpy(numbers[normal]).bfloat16().float().numpy()
    np.testing.assert_array_equal(reference.rounded(numbers[normal]), wanted)


def test_what_is_not_normal_is_rounded_as_the_instruction_does() -> None:
    given = np.array([np.inf, -np.inf, np.nan, 1e-40, -1e-40, 0.0, -0.0, 3.4e38], np.float32)
    found = reference.rounded(given)
    np.testing.assert_array_equal(found, [np.inf, -np.inf, np.nan, 0, 0, 0, 0, np.inf])
    np.testing.assert_array_equal(np.signbit(found[3:7]), [False, True, False, True])
    # A NaN whose payload lies in the lower half alone.
    low = np.array([0x7F800001], np.uint32).view(np.float32)
    assert np.isnan(reference.rounded(low)).all()


@pytest.mark.parametrize(
    ("array", "at", "value"),
    [(0, 0, 99), (0, 0, -2), (1, 0, 60000), (2, 1, 5), (3, 1, 10**12), (4, 0, 50), (4, 1, 5)],
)
@pytest.mark.parametrize("group", [1, 2, 4, SHARED])
def test_damaged_lists_are_refused(group: int, array: int, at: int, value: int) -> None:
    with pytest.raises(ValueError, match="`"):
        _build(group, lambda arrays: arrays[array].__setitem__(at, value))


@pytest.mark.parametrize("array", range(6))
def test_short_lists_are_refused(array: int) -> None:
    def shorten(arrays: list[np.ndarray]) -> None:
        arrays[array] = arrays[array][:-1].copy()

    with pytest.raises(ValueError, match="`"):
        _build(2, shorten)


@pytest.mark.parametrize("value", [-3, 0, 2**31 - 1])
@pytest.mark.parametrize("name", ["chunk", "group", "vectors"])
def test_damaged_tiles_are_refused(name: str, value: int) -> None:
    changed: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match="`"):
        _build(1, lambda _: None, **changed)


def test_tiles_beyond_the_registers_are_refused() -> None:
    with pytest.raises(ValueError, match="registers"):
        _build(SHARED, lambda _: None, vectors=_C.most_pair_vectors(SHARED) + 1)
    with pytest.raises(ValueError, match="'avx512bf17' cannot run here"):
        _build(1, lambda _: None, isa="avx512bf17")


def _build(
    packed_for: int,
    spoil: Callable[[list[np.ndarray]], None],
    *,
    isa: str = _C.pair_isas()[-1],
    chunk: int = 4,
    group: int | None = None,
    vectors: int = 1,
) -> None:
    """A 1x1 layer of 8 channels, in chunks of 4, of arrays that `spoil` changed."""
    problem = cases.Case(8, 24, (5, 5), (1, 1), padding=(0, 0), pattern="dense").problem()
    lists = lists_of(problem, 4, packed_for)
    packed = in_pairs(lists, packed_for, to_bfloat16(problem.weight))
    arrays = [array.copy() for array in packed.arrays()]
    spoil(arrays)
    columns = np.arange(8, dtype=np.int32), np.zeros(8, np.uint16)
    tile = {"chunk": chunk, "group": packed_for if group is None else group, "vectors": vectors}
    geometry = native_geometry(problem.geometry)
    none = _C.Activation.none
    _C.pairs(isa, geometry, None, none, _C.PairLists(*arrays), *columns, **tile)
