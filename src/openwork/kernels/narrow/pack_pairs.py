"""Packing of a sparse matrix for the bfloat16 product (csrc/simd/pairs.cpp): inputs two at a time.

As pack_lists.py, but an entry is a pair: two inputs that the same filters read, and for each of
these filters their two weights. Groups of G = 1, 2 or 4 filters are those of `pack_lists`; 8
neighbouring filters are a group where all of them read the same inputs (`block(8, 1)`, and whole
layers), so that M = 1 there.

1. row           int32  [C][N][G]  as there
2. count         uint16 [C][N][M]  pairs with mask 1 ... M; a mask with an odd number of inputs has
                                   one pair with input 0
3. entry_start   int64  [C][N]     first index of the group in array 5
4. weight_start  int64  [C][N]     first weight of the group in array 6
5. index         uint16 [pairs][2] 1 + input within its chunk, in [0, chunk]; 0 is one of zeros
6. weight        int32  [live]     one for each pair and bit of its mask, lowest first: two
                                   bfloat16, that of the pair's first input in the lower half

What a filter adds up, and in which order, follows from these arrays alone: within each pair the
second input first.
"""

from dataclasses import dataclass

import numpy as np

from openwork.kernels.native import extension as _C
from openwork.kernels.pack_lists import PackedLists, pack_lists
from openwork.kernels.pack_spmm import spmm_rows
from openwork.kernels.problem import Problem

SHARED = 8
"""Filters of a group that read the same inputs."""

MOST_CHUNK = 65534
"""Inputs per chunk: an index counts them from 1."""


@dataclass(frozen=True, eq=False)
class PackedPairs:
    """Arrays 1 to 6, flat."""

    row: np.ndarray
    count: np.ndarray
    entry_start: np.ndarray
    weight_start: np.ndarray
    index: np.ndarray
    weight: np.ndarray

    def arrays(self) -> tuple[np.ndarray, ...]:
        """All of them, in that order."""
        return (
            self.row, self.count, self.entry_start, self.weight_start, self.index, self.weight,
        )  # fmt: skip


def pack_pairs(
    problem: Problem, chunk: int, group: int
) -> "tuple[_C.PairLists, np.ndarray, np.ndarray]":
    """The packed lists, and arrays 7 and 8 of pack_spmm.py.

    Args:
        problem: the layer; `shares_columns` where `group` is 8.
        chunk: inputs per chunk, at most `MOST_CHUNK`.
        group: filters per group: 1, 2, 4 or 8.
    """
    packed = in_pairs(lists_of(problem, chunk, group), group, to_bfloat16(problem.weight))
    channel, tap = np.divmod(spmm_rows(problem)[0], problem.taps)
    lists = _C.PairLists(*packed.arrays())
    return lists, channel.astype(np.int32), tap.astype(np.uint16)


def lists_of(problem: Problem, chunk: int, group: int) -> PackedLists:
    """The lists before inputs are paired; `order` is -1 for a missing filter's weight."""
    columns, out, inside = spmm_rows(problem)
    sizes = problem.geometry.out_channels, len(columns)
    chunk = min(chunk, len(columns))
    if group == SHARED:
        return _shared_lists(*sizes, out, inside, chunk)
    return pack_lists(*sizes, out, inside, chunk, group)


def to_bfloat16(numbers: np.ndarray) -> np.ndarray:
    """The nearest bfloat16 of each float32, halves to even, as uint16.

    Denormal numbers become zeros, as in the instruction that does the same (`vcvtne2ps2bf16`).
    """
    bits = numbers.view(np.uint32)
    nearest = (bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16
    nearest = np.where(np.isnan(numbers), bits >> 16 | 0x40, nearest)
    denormal = bits & 0x7F800000 == 0
    return np.where(denormal, bits >> 16 & 0x8000, nearest).astype(np.uint16)


def shares_columns(problem: Problem) -> bool:
    """Whether filters of each 8 neighbouring ones read the same taps of the same inputs."""
    _, out, inside = spmm_rows(problem)
    rows = problem.geometry.out_channels
    count = np.bincount(out, minlength=rows)
    first = np.arange(rows) // SHARED * SHARED
    if (count != count[first]).any():
        return False
    start = np.cumsum(count) - count
    # For each entry, that of its group's first filter.
    lead = np.arange(len(out)) - np.repeat(start - start[first], count)
    return bool((inside == inside[lead]).all())


def _shared_lists(
    rows: int, inputs: int, out: np.ndarray, inside: np.ndarray, chunk: int
) -> PackedLists:
    """As `pack_lists`, of groups of 8 filters with one mask each."""
    groups, chunks = -(-rows // SHARED), -(-inputs // chunk)
    count = np.bincount(out, minlength=rows)
    start = np.cumsum(count) - count
    leads = np.flatnonzero(out % SHARED == 0)
    group, place = out[leads] // SHARED, inside[leads]
    slot = place // chunk * groups + group
    by_slot = np.argsort(slot, kind="stable")
    entries = np.bincount(slot, minlength=chunks * groups)
    # The entry of each of the eight filters that the leading one's entry stands for.
    within = leads - start[out[leads]]
    row = np.arange(groups * SHARED).reshape(groups, SHARED)
    first = np.append(start, 0)[np.minimum(row, rows)]
    order = np.where(row < rows, first, -1 - len(out))[group] + within[:, None]
    order = np.maximum(order, -1)[by_slot]
    row = np.where(row < rows, row, -1).astype(np.int32)
    before = np.cumsum(entries) - entries
    return PackedLists(
        np.tile(row.reshape(-1), chunks),
        entries.astype(np.uint16),
        before,
        before * SHARED,
        (place % chunk)[by_slot].astype(np.uint16),
        order.reshape(-1),
    )


def in_pairs(lists: PackedLists, group: int, weight: np.ndarray) -> PackedPairs:
    """Arrays 1 to 6 of what `pack_lists` packed.

    Args:
        lists: arrays 1 to 5, and the entry of each weight of 6, -1 for zero.
        group: filters per group.
        weight: (live,) bfloat16 as uint16.
    """
    masks = 1 if group == SHARED else 2**group - 1
    slots = len(lists.entry_start)
    readers = np.full(1, SHARED)
    if group < SHARED:
        readers = np.array([mask.bit_count() for mask in range(1, masks + 1)])
    readers = np.tile(readers, slots)
    count = lists.count.astype(np.int64)
    pairs = (count + 1) // 2
    # Each entry's list, its place there, and where its list's pairs and weights begin.
    list_of = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(list_of)) - np.repeat(np.cumsum(count) - count, count)
    pair_start = np.cumsum(pairs) - pairs
    weight_start = np.cumsum(pairs * readers) - pairs * readers
    index = np.zeros(2 * int(pairs.sum()), np.uint16)
    index[2 * pair_start[list_of] + place] = lists.index + 1
    # Entries repeated for each of their readers.
    each = readers[list_of]
    reader = np.arange(len(lists.order)) - np.repeat(np.cumsum(each) - each, each)
    at = np.repeat(weight_start[list_of] + place // 2 * each, each) + reader
    halves = np.zeros((int((pairs * readers).sum()), 2), np.uint16)
    halves[at, np.repeat(place % 2, each)] = np.append(weight, np.uint16(0))[lists.order]
    return PackedPairs(
        lists.row,
        pairs.astype(np.uint16),
        2 * pair_start[::masks],
        np.ascontiguousarray(weight_start[::masks]),
        index,
        np.ascontiguousarray(halves).view(np.int32).reshape(-1),
    )
