"""Sweeps: the order in which z memories deliver every left neuron once, z of them a cycle.

Left neuron a lies in memory a mod z, in row a div z. A sweep over p neurons takes p/z cycles; in
cycle c lane l reads memory v[l] at row t[c, l], so its z reads meet z different memories.

    t  (p/z, z) rows: type 1 any order; types 2 and 3 a start row, then one further each cycle
    v  (z,) memories: 0..z-1, or with dither a random order of them

Edges are numbered as they are read, and edge e belongs to right neuron e div fan_in. A right
neuron that ends in a later sweep than it began could meet an input twice; the draws below never
let it, whatever the sizes.
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
        """Left neurons in a memory."""
        return self.inputs // self.z


def sweeps(
    memories: Memories, fan_out: int, fan_in: int, bits: np.random.PCG64
) -> Iterator[np.ndarray]:
    """The left neurons (inputs,) int64 of each of the `fan_out` sweeps, in the order read."""
    sweep = np.empty(0, dtype=np.int64)
    for index in range(fan_out):
        # So many edges of the right neuron that straddles the sweeps lie in the one before.
        before = index * memories.inputs % fan_in
        if memories.type != 3 or index == 0:
            sweep = _draw(memories, sweep[sweep.size - before :], (fan_in - before) % fan_in, bits)
        yield sweep


def _draw(memories: Memories, taken: np.ndarray, head: int, bits: np.random.PCG64) -> np.ndarray:
    """One sweep whose first `head` reads meet none of the left neurons `taken`."""
    z, rows = memories.z, memories.rows
    head = head if taken.size else 0
    held = np.bincount(taken % z, minlength=z)  # of each memory
    reads = head // z + (np.arange(z) < head % z)  # of each lane
    lanes = np.arange(z)
    if memories.dither:
        # Lanes that read one row more must not get memories that have no row more to give.
        full = held + head // z + 1 > rows
        lanes = _order(full[:, None], np.array([head % z]), bits)[:, 0]
    if memories.type == 1:
        blocked = np.zeros((rows, z), dtype=bool)
        blocked[taken // z, taken % z] = True
        order = _order(blocked[:, lanes], reads, bits)
    else:
        order = _cyclic(rows, taken // z, taken % z, held, lanes, reads, bits)
    return (order * z + lanes).reshape(-1)


def _order(blocked: np.ndarray, reads: np.ndarray, bits: np.random.PCG64) -> np.ndarray:
    """In each column a random order of its n items whose first `reads` (m,) are not `blocked`.

    Args:
        blocked: (n, m) boolean, by item.

    Returns:
        (n, m) int64: the item at each place.
    """
    keys = bits.random_raw(blocked.size).reshape(blocked.shape) >> np.uint64(1)
    last = np.uint64(1 << 63)
    free_first = np.argsort(np.where(blocked, keys | last, keys), axis=0, kind="stable")
    place = np.arange(len(blocked))[:, None]
    # The head is settled; whatever was blocked joins the rest again, in an order drawn anew.
    again = bits.random_raw(blocked.size).reshape(blocked.shape) | last
    settled = np.where(place < reads, place.astype(np.uint64), again)
    return np.take_along_axis(free_first, np.argsort(settled, axis=0, kind="stable"), axis=0)


def _cyclic(
    rows: int,
    row: np.ndarray,
    memory: np.ndarray,
    held: np.ndarray,
    lanes: np.ndarray,
    reads: np.ndarray,
    bits: np.random.PCG64,
) -> np.ndarray:
    """Rows (rows, z) that count up cyclically from a random start in each lane.

    The rows taken from a memory are neighbours on its circle, so the starts that keep clear of
    them are neighbours too: they begin after the last row taken.
    """
    free_from = np.zeros(held.size, dtype=np.int64)
    free_from[memory] = row + 1  # in the order read, so the last one stays
    met = (held[lanes] > 0) & (reads > 0)
    starts = np.where(met, rows - held[lanes] - reads + 1, rows)
    drawn = bits.random_raw(held.size) % starts.astype(np.uint64)
    start = np.where(met, free_from[lanes], 0) + drawn.astype(np.int64)
    return (start + np.arange(rows)[:, None]) % rows
