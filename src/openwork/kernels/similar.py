"""The candidate that is most like a named one, where it cannot be measured or has not been."""

import math
import re

from openwork.kernels.dispatch import Candidate, candidates
from openwork.kernels.problem import Problem

__all__ = ["similar_candidate"]


def similar_candidate(problem: Problem, kernel: str, isa: str) -> Candidate | None:
    """The candidate for `isa` of the same family and the most similar tile; None without one.

    Args:
        problem: the layer.
        kernel: a candidate's name, for a map of any size and of any instruction set.
        isa: instruction set.
    """
    family = _family(kernel)
    same = [each for each in candidates(problem, isa) if _family(each.name) == family]
    return min(same, key=lambda each: _distance(each.name, kernel), default=None)


def _family(name: str) -> tuple[str, ...]:
    return tuple(name.split("-")[:3])


def _distance(one: str, other: str) -> float:
    """Factors between the numbers of two tiles, in powers of two; 100 for a part that one lacks."""
    first, second = _tile(one), _tile(other)
    shared = [abs(math.log2(first[key] / second[key])) for key in first.keys() & second.keys()]
    return sum(shared) + 100 * len(first.keys() ^ second.keys())


def _tile(name: str) -> dict[str, int]:
    """The numbers of a tile by the letters in front of them."""
    tile = "".join(name.split("-")[3:-1])
    parts = re.findall(r"([a-z]*)(\d*)", tile)
    return {letters: int(number or 1) for letters, number in parts if letters or number}
