"""Packing for the kernel of sparse linear layers (csrc/simd/gemv.cpp): rows side by side in lanes.

Rows are sorted by their live weights and cut into slices, one row for each lane of a vector.
`group` neighbouring lanes share their inputs: groups of 4 rows, or of a whole slice, of a pattern
whose blocks are that high. Inputs are cut into chunks of at most 65535. In each chunk, all rows of
a slice have as many steps as the longest of them; shorter ones end with steps of weight 0 that
read a zero.

1. row     int32   [slices][lanes]         row of each lane, -1 where there is none
2. start   int64   [slices * chunks + 1]   first step of each chunk of each slice in 3 and 4
3. index   uint16  [steps][lanes / group]  input within its chunk, rising; `chunk` for none
4. weight  float32 [steps][lanes]

Nothing is read beyond the arrays' ends.
"""

from dataclasses import dataclass

import numpy as np

from openwork.kernels.problem import Problem

_MOST_INPUTS = 65535


@dataclass(frozen=True, eq=False)
class PackedGemv:
    """Arrays 1 to 4, flat, and inputs per chunk."""

    row: np.ndarray
    start: np.ndarray
    index: np.ndarray
    weight: np.ndarray
    chunk: int

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Arrays 1 to 4."""
        return self.row, self.start, self.index, self.weight


def pack_gemv(problem: Problem, lanes: int, group: int, most: int = _MOST_INPUTS) -> PackedGemv:
    """Pack a linear layer.

    Args:
        problem: the layer; rows of each group must have the same live inputs.
        lanes: floats in one vector.
        group: neighbouring rows that share their inputs.
        most: inputs per chunk, at most 65535.
    """
    rows, inputs = problem.geometry.out_channels, problem.geometry.in_channels
    chunks = -(-inputs // most)
    chunk = -(-inputs // chunks)
    out, inside = _live(problem)
    piece = out if chunks == 1 else out * chunks + inside // chunk
    first = np.searchsorted(piece, np.arange(rows * chunks + 1))
    live = np.diff(first)
    # Steps of each group of rows: those of its first row.
    count = live.reshape(rows, chunks)[::group]
    units = lanes // group
    order = np.argsort(-count.sum(axis=1), kind="stable")
    slices = -(-len(order) // units)
    order = np.pad(order, (0, slices * units - len(order)), constant_values=len(count))
    count = np.concatenate([count, np.zeros((1, chunks), count.dtype)])
    longest = count[order].reshape(slices, units, chunks).max(axis=1)
    start = np.concatenate([[0], np.cumsum(longest)])
    # Where each row's first weight of each chunk lies.
    place = np.empty(len(count), np.int64)
    place[order] = np.arange(len(order))
    slot, unit = np.divmod(place[np.arange(rows) // group], units)
    lane = unit * group + np.arange(rows) % group
    begin = start[slot[:, None] * chunks + np.arange(chunks)] * lanes + lane[:, None]
    at = np.arange(len(out)) * lanes + np.repeat(begin.reshape(-1) - first[:-1] * lanes, live)
    weight = np.zeros(start[-1] * lanes, np.float32)
    weight[at] = problem.weight
    index = np.full(start[-1] * units, chunk, np.uint16)
    within = inside if chunks == 1 else inside % chunk
    index[at // group] = within
    row = np.full(slices * lanes, -1, np.int32)
    row[slot * lanes + lane] = np.arange(rows)
    return PackedGemv(row, start, index, weight, chunk)


def shares_inputs(problem: Problem, group: int) -> bool:
    """Whether rows of each `group` neighbouring ones have the same live inputs."""
    rows, inputs = problem.geometry.out_channels, problem.geometry.in_channels
    live = problem.positions.size
    if rows % group or live % group or problem.groups > 1:
        return False
    if live == rows * inputs:
        return True
    first = np.searchsorted(problem.positions, np.arange(rows + 1) * inputs)
    count = np.diff(first).reshape(-1, group)
    if (count != count[:, :1]).any():
        return False
    # Rows are equally long within a group: each lies as far behind the one before as that is long.
    behind = np.repeat(np.diff(first), np.diff(first))
    leads = np.repeat(np.arange(rows) % group == 0, np.diff(first))
    step = problem.positions - problem.positions[np.arange(live) - behind]
    return bool((step[~leads] == inputs).all())


def _live(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """(row, input) of each live weight, without dividing millions of whole numbers."""
    rows, inputs = problem.geometry.out_channels, problem.group_inputs
    begin = np.arange(rows + 1) * inputs
    out = np.repeat(np.arange(rows), np.diff(np.searchsorted(problem.positions, begin)))
    group = np.arange(rows) // (rows // problem.groups)
    return out, problem.positions - (begin[:-1] - group * inputs)[out]
