"""Where each value lies in one shared block of memory."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

# Sixteen floats are a cache line and the widest vector.
LINE = 16
_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True)
class Lifetime:
    """A value's floats per image, and the first and last step that write or read it."""

    floats: int
    first: int
    last: int


def place(lifetimes: Mapping[_Key, Lifetime]) -> dict[_Key, int]:
    """An offset (floats per image) for each value, so that no two alive at once overlap.

    Greedy by size: the largest first (of equals, the one listed first), each at the lowest offset
    that is free during its whole lifetime.
    """
    offsets: dict[_Key, int] = {}
    for key in sorted(lifetimes, key=lambda key: -lifetimes[key].floats):
        lifetime = lifetimes[key]
        taken = sorted(
            (offsets[other], offsets[other] + _rounded(lifetimes[other].floats))
            for other in offsets
            if lifetimes[other].first <= lifetime.last and lifetime.first <= lifetimes[other].last
        )
        offsets[key] = _lowest(taken, _rounded(lifetime.floats))
    return offsets


def _lowest(taken: Sequence[tuple[int, int]], floats: int) -> int:
    offset = 0
    for start, stop in taken:
        if offset + floats <= start:
            break
        offset = max(offset, stop)
    return offset


def _rounded(floats: int) -> int:
    return -(-floats // LINE) * LINE
