"""What kernels in bfloat16 must compute, bit for bit: the packed lists, walked in plain numpy."""

from dataclasses import replace

import numpy as np

from openwork.kernels.narrow.pack_pairs import (
    SHARED,
    PackedPairs,
    in_pairs,
    lists_of,
    to_bfloat16,
)
from openwork.kernels.pack_spmm import spmm_rows
from openwork.kernels.problem import Problem

ROUNDING = 2.0**-8
"""The largest relative error of rounding to bfloat16."""


def widened(words: np.ndarray) -> np.ndarray:
    """bfloat16 as uint16 -> float32."""
    return (words.astype(np.uint32) << 16).view(np.float32)


def rounded(numbers: np.ndarray) -> np.ndarray:
    """The nearest bfloat16 of each number, as float32."""
    return widened(to_bfloat16(numbers))


def flushed(numbers: np.ndarray) -> np.ndarray:
    """Denormal numbers as zeros of their sign."""
    tiny = np.abs(numbers) < np.finfo(np.float32).smallest_normal
    return np.where(tiny, np.copysign(np.float32(0), numbers), numbers)


def multiply_add(a: np.ndarray, b: np.float32, total: np.ndarray) -> np.ndarray:
    """a * b + total, rounded once to float32.

    In float64 the product of two bfloat16 is exact. The sum is rounded there only where the larger
    of the two is over 2^29 times the other, and so cannot come to lie between two float32 by that.
    """
    exact = a.astype(np.float64) * np.float64(b) + flushed(total).astype(np.float64)
    return flushed(exact.astype(np.float32))


def columns_of(problem: Problem, x: np.ndarray) -> np.ndarray:
    """What each column of the packed matrix reads: (columns, batch, h', w') float32, rounded."""
    g = problem.geometry
    (py, px), (sy, sx), (dy, dx) = g.padding, g.stride, g.dilation
    height, width = g.out_size
    padded = np.pad(rounded(x), ((0, 0), (0, 0), (py, py), (px, px)))
    columns, _, _ = spmm_rows(problem)
    seen = np.empty((len(columns), len(x), height, width), np.float32)
    for at, column in enumerate(columns):
        channel, tap = divmod(int(column), problem.taps)
        y, x0 = (tap // g.kernel[1]) * dy, (tap % g.kernel[1]) * dx
        rows = slice(y, y + (height - 1) * sy + 1, sy)
        seen[at] = padded[:, channel, rows, x0 : x0 + (width - 1) * sx + 1 : sx]
    return seen


def sums(problem: Problem, x: np.ndarray, chunk: int, group: int) -> np.ndarray:
    """The sums of each filter, (batch, out, h', w') float32, without what follows them."""
    seen = columns_of(problem, x)
    chunk = min(chunk, len(seen))
    packed = in_pairs(lists_of(problem, chunk, group), group, to_bfloat16(problem.weight))
    rows = problem.geometry.out_channels
    total = np.zeros((rows, *seen.shape[1:]), np.float32)
    with np.errstate(all="ignore"):
        _walk(packed, seen, total, chunk, group)
    return total.swapaxes(0, 1)


def _walk(packed: PackedPairs, seen: np.ndarray, total: np.ndarray, chunk: int, group: int) -> None:
    masks = [range(SHARED)] if group == SHARED else [
        [g for g in range(group) if mask >> g & 1] for mask in range(1, 2**group)
    ]  # fmt: skip
    row, count = packed.row.reshape(-1, group), packed.count.reshape(-1, len(masks))
    index, weight = packed.index.reshape(-1, 2), packed.weight.view(np.uint16).reshape(-1, 2)
    groups = -(-len(total) // group)
    pair = place = 0
    for slot in range(len(row)):
        first = slot // groups * chunk
        zero = np.zeros_like(seen[:1])
        inputs = np.concatenate([zero, seen[first : first + chunk]])
        for readers, pairs in zip(masks, count[slot], strict=True):
            for _ in range(pairs):
                one, other = index[pair]
                for reader in readers:
                    lower, upper = widened(weight[place])
                    at = row[slot, reader]
                    if at >= 0:
                        total[at] = multiply_add(inputs[other], upper, total[at])
                        total[at] = multiply_add(inputs[one], lower, total[at])
                    place += 1
                pair += 1
    assert (pair, place) == (len(index), len(weight))


def bare(problem: Problem) -> Problem:
    """Without bias and activation."""
    return replace(problem, bias=None, activation="none", packs={})
