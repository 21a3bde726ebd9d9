"""The shape that a view gives when channels are removed from its input."""

import math
from collections.abc import Iterator

import numpy as np

from openwork.flow.atoms import Layout

# Axes [first, last) of one shape, and those of the other shape that hold the same numbers.
Block = tuple[tuple[int, int], tuple[int, int]]


def blocks(before: tuple[int, ...], after: tuple[int, ...]) -> Iterator[Block]:
    """The smallest runs of axes of `before` and `after` that hold the same numbers, in order."""
    i = j = 0
    while i < len(before) or j < len(after):
        first = (i, j)
        one = two = 1
        while True:
            if i < len(before) and (one <= two or j == len(after)):
                one, i = one * before[i], i + 1
            else:
                two, j = two * after[j], j + 1
            if one == two:
                break
        # Axes of size one after the run could be in either; they count as part of this one.
        while i < len(before) and before[i] == 1 and (j == len(after) or after[j] != 1):
            i += 1
        while j < len(after) and after[j] == 1 and (i == len(before) or before[i] != 1):
            j += 1
        yield (first[0], i), (first[1], j)


def reshaped(
    before: tuple[int, ...], after: tuple[int, ...], now: tuple[int, ...]
) -> tuple[int, ...]:
    """The shape that the view from `before` to `after` gives an input of shape `now`.

    Where one axis is split into several, as in a channel shuffle, the last of them that is larger
    than one becomes smaller: code usually splits channels into a fixed number of groups.

    Raises:
        ValueError: the remaining channels cannot be split into that many groups.
    """
    shape: list[int] = []
    for (a, b), (c, d) in blocks(before, after):
        old, new = math.prod(before[a:b]), math.prod(now[a:b])
        sizes = list(after[c:d])
        if old != new:
            place = shrinking(sizes)
            size, rest = divmod(sizes[place] * new, old)
            if rest:
                raise ValueError("does not divide")
            sizes[place] = size
        shape += sizes
    return tuple(shape)


def shrinking(sizes: list[int]) -> int:
    """The axis of `sizes` whose size changes with the number of channels."""
    return max((i for i, n in enumerate(sizes) if n > 1), default=0)


def split_rows(
    before: tuple[int, ...], after: tuple[int, ...], layout: Layout
) -> np.ndarray | None:
    """The atoms (groups, n) of an axis of channels that a view splits; None if it splits none."""
    for (a, b), (c, d) in blocks(before, after):
        varying = [axis for axis in range(c, d) if layout.varies(axis)]
        if b - a < d - c and len(varying) > 1:
            place = c + shrinking(list(after[c:d]))
            rows = np.moveaxis(layout.ids, place, -1)
            return rows.reshape(-1, rows.shape[-1])
    return None
