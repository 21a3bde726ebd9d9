"""The candidate that is most like a named one, where it cannot be measured or has not been."""

import functools
import math
import re

from openwork.kernels.candidate import Candidate
from openwork.kernels.dispatch import candidates
from openwork.kernels.problem import Problem

__all__ = ["similar_candidate", "tile_distance"]


def similar_candidate(problem: Problem, kernel: str, isa: str) -> Candidate | None:
    """The candidate for `isa` of the same family and the most similar tile; None without one.

    Args:
        problem: the layer.
        kernel: a candidate's name, for a map of any size and of any instruction set.
        isa: instruction set.
    """
    family = _family(kernel)
    same = [each for each in candidates(problem, isa) if _family(each.name) == family]
    return min(same, key=lambda each: tile_distance(each.name, kernel, 100), default=None)


def _family(name: str) -> tuple[str, ...]:
    return tuple(name.split("-")[:3])


def tile_distance(one: str, other: str, lacking: float = 1) -> float:
    """Factors between the numbers of two tiles, in powers of two, summed.

    Args:
        one, other: names of candidates.
        lacking: what a part counts that only one of the tiles has.
    """
    first, second = _tile(one), _tile(other)
    shared = [abs(math.log2(first[key] / second[key])) for key in first.keys() & second.keys()]
    return sum(shared) + lacking * len(first.keys() ^ second.keys())


@functools.lru_cache(4096)
def _tile(name: str) -> dict[str, int]:
    """The numbers of a tile by the letters in front of them."""
    tile = "".join(name.split("-")[3:-1])
    parts = re.findall(r"([a-z]*)(\d*)", tile)
    return {letters: int(number or 1) for letters, number in parts if letters or number}
