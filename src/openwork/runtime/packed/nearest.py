"""The kernel of another machine that is most like a named one: it cannot be measured here."""

import math
import re

from openwork.errors import CheckpointError
from openwork.kernels.dispatch import Candidate, candidates
from openwork.kernels.problem import Problem

# Algorithms in the order in which they are tried where the named one cannot run.
_ORDER = ("depthwise", "dense", "gemv", "winograd4", "spmm", "winograd2", "direct", "taps")


def nearest_candidate(problem: Problem, kernel: str, isa: str) -> Candidate:
    """The candidate for `isa` of the same family and the most similar tile.

    Args:
        problem: the layer.
        kernel: a candidate's name, of any instruction set, or "torch".
        isa: instruction set.

    Raises:
        CheckpointError: no kernel can run the layer.
    """
    found = candidates(problem, isa)
    if not found:
        raise CheckpointError(f"no kernel of {isa!r} can run a layer of {problem.geometry}")
    family = _family(kernel)
    same = [each for each in found if _family(each.name) == family]
    if same:
        return min(same, key=lambda each: _distance(each.name, kernel))
    by_algorithm = {each.name.split("-")[2]: each for each in found}
    return next(by_algorithm[name] for name in _ORDER if name in by_algorithm)


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
