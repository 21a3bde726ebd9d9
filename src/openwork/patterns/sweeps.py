"""Sweeps: the order in which z memories deliver every left neuron once, z neurons per cycle.

Left neuron a lies in memory a mod z, in row a div z. A sweep over p neurons takes p/z cycles; in
cycle c, lane l reads memory v[l] at row t[c, l], so the z reads of a cycle use z different
memories.

    t  (p/z, z) rows: type 1 any order; types 2 and 3 a start row, then one row on per cycle
    v  (z,) memories: 0..z-1, or with dither a random order of them

Edges are numbered in reading order, and edge e belongs to right neuron e div fan_in. A right
neuron whose edges span two sweeps could read an input twice; the draws below rule that out for
all sizes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Memories:
    """The left neurons `inputs` in `z` memories, and how sweeps go through them."""

    inputs: int
    z: int
    type: int
    dither: bool

    @property
    def rows(self) -> int:
        """Left neurons per memory."""
        return self.inputs // self.z


def sweeps(
    memories: Memories, fan_out: int, fan_in: int, bits: np.random.PCG64
) -> Iterator[np.ndarray]:
    """The left neurons (inputs,) int64 of each of the `fan_out` sweeps, in reading order."""
    sweep = np.empty(0, dtype=np.int64)
    for index in range(fan_out):
        # Edges in the previous sweep of the right neuron that spans both sweeps.
        before = index * memories.inputs % fan_in
        if memories.type != 3 or index == 0:
            sweep = _draw(memories, sweep[sweep.size - before :], (fan_in - before) % fan_in, bits)
        yield sweep


def _draw(memories: Memories, taken: np.ndarray, head: int, bits: np.random.PCG64) -> np.ndarray:
    """One sweep whose first `head` reads avoid the left neurons `taken`."""
    z, rows = memories.z, memories.rows
    head = head if taken.size else 0
    counts = np.bincount(taken % z, minlength=z)  # taken rows of each memory
    reads = head // z + (np.arange(z) < head % z)  # reads of each lane within the head
    lanes = np.arange(z)
    if memories.dither:
        # Lanes that read one more row in the head must not get a memory without a free row.
        full = counts + head // z + 1 > rows
        lanes = _order(full[:, None], np.array([head % z]), bits)[:, 0]
    if memories.type == 1:
        blocked = np.zeros((rows, z), dtype=bool)
        blocked[taken // z, taken % z] = True
        order = _order(blocked[:, lanes], reads, bits)
    else:
        order = _cyclic(rows, taken // z, taken % z, counts, lanes, reads, bits)
    return (order * z + lanes).reshape(-1)


def _order(blocked: np.ndarray, reads: np.ndarray, bits: np.random.PCG64) -> np.ndarray:
    """For each column, a random order of its n items; the first `reads` (m,) are not `blocked`.

    Args:
        blocked: (n, m) boolean, indexed by item.

    Returns:
        (n, m) int64: the item at each place.
    """
    keys = bits.random_raw(blocked.size).reshape(blocked.shape) >> np.uint64(1)
    last = np.uint64(1 << 63)
    free_first = np.argsort(np.where(blocked, keys | last, keys), axis=0, kind="stable")
    place = np.arange(len(blocked))[:, None]
    # The head is fixed; the blocked items are shuffled in with the rest.
    again = bits.random_raw(blocked.size).reshape(blocked.shape) | last
    settled = np.where(place < reads, place.astype(np.uint64), again)
    return np.take_along_axis(free_first, np.argsort(settled, axis=0, kind="stable"), axis=0)


def _cyclic(
    rows: int,
    row: np.ndarray,
    memory: np.ndarray,
    counts: np.ndarray,
    lanes: np.ndarray,
    reads: np.ndarray,
    bits: np.random.PCG64,
) -> np.ndarray:
    """Rows (rows, z) that count up cyclically from a random start in each lane.

    The rows taken from a memory are cyclically contiguous, so the start rows that avoid them are
    contiguous too, beginning after the last row taken.

    Args:
        rows: rows per memory.
        row, memory: (taken,) where each taken neuron lies, in reading order.
        counts: (z,) taken rows of each memory.
        lanes: (z,) memory of each lane.
        reads: (z,) reads of each lane that must avoid the taken rows.
        bits: random stream.
    """
    free_from = np.zeros(counts.size, dtype=np.int64)
    free_from[memory] = row + 1  # in reading order, so the last row of each memory wins
    constrained = (counts[lanes] > 0) & (reads > 0)
    starts = np.where(constrained, rows - counts[lanes] - reads + 1, rows)
    drawn = bits.random_raw(counts.size) % starts.astype(np.uint64)
    start = np.where(constrained, free_from[lanes], 0) + drawn.astype(np.int64)
    return (start + np.arange(rows)[:, None]) % rows
