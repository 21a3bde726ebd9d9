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

Nothing is read beyond the arrays' ends. csrc/pack.cpp packs them.
"""

from dataclasses import dataclass

import numpy as np

from openwork.kernels.native import extension as _C


@dataclass(frozen=True, eq=False)
class PackedLists:
    """Arrays 1 to 5, and which of the given entries each weight of array 6 belongs to.

    Args:
        row, count, entry_start, weight_start, index: arrays 1 to 5, flat.
        order: (packed,) int32. Where entries have several taps: of each `taps` weights, which are
            those of one tap after another, each with as many entries as the mask has bits.
    """

    row: np.ndarray
    count: np.ndarray
    entry_start: np.ndarray
    weight_start: np.ndarray
    index: np.ndarray
    order: np.ndarray

    def indices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Arrays 1 to 5, in that order."""
        return self.row, self.count, self.entry_start, self.weight_start, self.index


def pack_lists(
    rows: int,
    inputs: int,
    out: np.ndarray,
    inside: np.ndarray,
    chunk: int,
    group: int,
    alike: bool = True,
    taps: int = 1,
) -> PackedLists:
    """Pack the sparse matrix whose live entries are `(out, inside)`.

    Args:
        rows, inputs: size of the matrix.
        out, inside: (live,) int32 row and column of each entry, rising strictly.
        chunk: inputs per chunk; at most 65535 columns.
        group: filters per group: 1, 2 or 4.
        alike: search for filters that share inputs (default), which takes most of the time of
            packing; otherwise neighbours form a group.
        taps: columns that each entry stands for, one after another; an input has so many of them.
    """
    return PackedLists(
        *_C.pack_lists(
            out, inside, rows=rows, inputs=inputs, taps=taps, chunk=chunk, group=group, alike=alike
        )
    )
