"""Packing of a sparse matrix for the product kernels (csrc/simd/product.h).

Inputs are cut into chunks of `chunk`, so that one chunk's tile of pixels stays in the L1 cache.
Filters are cut into blocks of `_C.filter_block`, which threads share among them. Within a
chunk and block, filters are processed in groups of G = 1, 2 or 4: an input read by several of a
group is loaded once. `mask` says which of the group's filters read an input (bit g for
filter g), and inputs with equal masks are neighbours, so that the kernel's loops are branch-free.

The packed arrays, C = ceil(inputs / chunk), N = ceil(rows / G), M = 2^G - 1:

1. row           int32  [C][N][G]  filter of each place, -1 where the last group is not full;
                                   in every chunk each filter has exactly one place, in the groups
                                   of its block
2. count         uint16 [C][N][M]  entries with mask 1 ... M
3. entry_start   int64  [C][N]     first entry of the group in array 5; sums of 2
4. weight_start  int64  [C][N]     first weight of the group in array 6; sums of 2, an entry with
                                   mask m having as many weights as m has bits
5. index         uint16 [entries]  input within its chunk, in [0, chunk); sorted by
                                   (chunk, group, mask, input)
6. weight        float32 [P][live] per position (1, or those of a Winograd tile), in the order of 5,
                                   one weight per bit of the mask, lowest first

Nothing is read beyond the arrays' ends.
"""

from dataclasses import dataclass

import numpy as np

from openwork.kernels.native import extension as _C

# Below this mean number of entries a mask's loop costs more in mispredicted branches than the
# shared loads save: such entries are given to each filter alone.
WORTH_A_LOOP = 2.0


@dataclass(frozen=True, eq=False)
class PackedLists:
    """Arrays 1 to 6."""

    row: np.ndarray
    count: np.ndarray
    entry_start: np.ndarray
    weight_start: np.ndarray
    index: np.ndarray
    weight: np.ndarray

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Arrays 1 to 6, flat, in that order."""
        every = (self.row, self.count, self.entry_start, self.weight_start, self.index, self.weight)
        return tuple(np.ascontiguousarray(array).reshape(-1) for array in every)


def pack_lists(
    rows: int,
    inputs: int,
    out: np.ndarray,
    inside: np.ndarray,
    values: np.ndarray,
    chunk: int,
    group: int,
    alike: bool = True,
) -> PackedLists:
    """Pack the sparse matrix whose live entries are `(out, inside)`.

    Args:
        rows, inputs: size of the matrix.
        out, inside: (live,) int64 row and column of each entry.
        values: (positions, live) float32; or int32, numbers of weights that each call brings.
        chunk: inputs per chunk, at most 65535.
        group: filters per group: 1, 2 or 4.
        alike: search for filters that share inputs (default), which takes most of the time of
            packing; otherwise neighbours form a group.
    """
    if not 1 <= chunk <= 65535:
        raise ValueError(f"`chunk`={chunk} must lie in [1, 65535]")
    if group not in (1, 2, 4):
        raise ValueError(f"`group`={group} must be 1, 2 or 4")
    place = np.full((rows, inputs), -1, dtype=np.int64)
    place[out, inside] = np.arange(len(out))
    pieces = [
        _pack_chunk(place[:, first : first + chunk], group, alike)
        for first in range(0, inputs, chunk)
    ]
    row, count, index, order = (list(arrays) for arrays in zip(*pieces, strict=True))
    counts = np.stack(count).astype(np.int64)
    bits = np.array([mask.bit_count() for mask in range(1, 2**group)])
    return PackedLists(
        np.stack(row).astype(np.int32),
        np.stack(count).astype(np.uint16),
        _starts(counts.sum(axis=2)),
        _starts(counts @ bits),
        np.concatenate(index).astype(np.uint16),
        values[:, np.concatenate(order)],
    )


def _starts(sizes: np.ndarray) -> np.ndarray:
    ends = np.cumsum(sizes.reshape(-1), dtype=np.int64)
    return np.concatenate([[0], ends[:-1]]).reshape(sizes.shape)


def _pack_chunk(
    place: np.ndarray, group: int, alike: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(row, count, index, order of the weights) of one chunk; `place` is -1 for dead entries."""
    live = place >= 0
    size = _C.filter_block
    row = np.concatenate(
        [
            _group_rows(live[first : first + size], group, first, alike)
            for first in range(0, len(live), size)
        ]
    )
    places = np.where(row[:, :, None] >= 0, place[row], -1)
    bit = 1 << np.arange(group)
    mask = ((places >= 0) * bit[None, :, None]).sum(axis=1)
    masks = 2**group - 1
    for shared in range(1, masks + 1):
        members = mask == shared
        if shared.bit_count() > 1 and members.sum() < WORTH_A_LOOP * len(row):
            mask = np.where(members, -shared, mask)
    entries = [(mask == value, value) for value in range(1, masks + 1)]
    lone = np.where(mask < 0, -mask, 0)
    entries += [((lone & value) != 0, value) for value in bit]
    at, inside, value = (
        np.concatenate(arrays) for arrays in zip(*map(_found, entries), strict=True)
    )
    sort = np.lexsort((inside, value, at))
    at, inside, value = at[sort], inside[sort], value[sort]
    count = np.bincount(at * masks + value - 1, minlength=len(row) * masks)
    weights = places[at, :, inside]
    order = weights[(value[:, None] & bit) != 0]
    return row, count.reshape(len(row), masks), inside, order


def _found(entry: tuple[np.ndarray, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    at, inside = np.nonzero(entry[0])
    return at, inside, np.full(len(at), entry[1])


def _group_rows(live: np.ndarray, group: int, first: int, alike: bool) -> np.ndarray:
    """Rows, numbered from `first`, as groups (n, group); -1 where not full."""
    members = np.arange(len(live))[:, None]
    if not alike:
        members = np.pad(members, ((0, -len(live) % group), (0, 0)), constant_values=-1)
        members = members.reshape(-1, group)
    while members.shape[1] < group:
        members = _pair(live, members)
    # Neighbours with equal counts let the branch predictor learn where the loops end.
    fan_in = np.where(members >= 0, live.sum(axis=1)[members], 0).sum(axis=1)
    members = members[np.argsort(-fan_in, kind="stable")]
    return np.where(members >= 0, members + first, -1)


def _pair(live: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Join groups two by two: each, in turn, takes the free one that shares the most inputs."""
    read = np.where((members >= 0)[:, :, None], live[members], False).any(axis=1)
    union = np.asarray(read, dtype=np.float32)
    shared = union @ union.T
    np.fill_diagonal(shared, -1)
    free = np.ones(len(members), dtype=bool)
    pairs: list[np.ndarray] = []
    for one in np.argsort(-union.sum(axis=1), kind="stable"):
        if not free[one]:
            continue
        free[one] = False
        if not free.any():
            pairs.append(np.concatenate([members[one], np.full_like(members[one], -1)]))
            break
        other = int(np.argmax(np.where(free, shared[one], -1)))
        free[other] = False
        pairs.append(np.concatenate([members[one], members[other]]))
    return np.stack(pairs)
