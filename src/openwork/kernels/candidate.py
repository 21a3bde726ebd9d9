"""`Candidate` and `Family`: the ways to run a problem, as data."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openwork.kernels.problem import Problem

if TYPE_CHECKING:
    from openwork.kernels._C import Layer

__all__ = ["Candidate"]


@dataclass(frozen=True)
class Candidate:
    """One way to run a problem: a kernel with its tile and instruction set."""

    name: str
    build: "Callable[[Problem], Layer]"


@dataclass(frozen=True)
class Family:
    """One kernel source.

    Args:
        name: dtype, op and algorithm.
        refusal: why a problem cannot run on it, or None.
        candidates: all tiles worth measuring for a problem, an instruction set and a batch size.
    """

    name: str
    refusal: Callable[[Problem], str | None]
    candidates: Callable[[Problem, str, int], Iterator[Candidate]]
