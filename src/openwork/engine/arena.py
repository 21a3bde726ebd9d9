"""Where each value lies in one shared block of memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Sixteen floats are a cache line and the widest vector.
LINE = 16


@dataclass(frozen=True)
class Life:
    """A value's floats per image, and the first and last step at which they matter."""

    floats: int
    first: int
    last: int


def place(lives: Mapping[int, Life]) -> dict[int, int]:
    """An offset (floats per image) for each value, so that no two alive at once overlap.

    Greedy by size: the largest first, each at the lowest place that is free for its whole life.
    """
    offsets: dict[int, int] = {}
    for key in sorted(lives, key=lambda k: (-lives[k].floats, k)):
        life = lives[key]
        taken = sorted(
            (offsets[other], offsets[other] + _rounded(lives[other].floats))
            for other in offsets
            if lives[other].first <= life.last and life.first <= lives[other].last
        )
        offsets[key] = _lowest(taken, _rounded(life.floats))
    return offsets


def _lowest(taken: Sequence[tuple[int, int]], floats: int) -> int:
    at = 0
    for start, stop in taken:
        if at + floats <= start:
            break
        at = max(at, stop)
    return at


def _rounded(floats: int) -> int:
    return -(-floats // LINE) * LINE
