"""Convolutions packed for a kernel, or for the fastest one where none is named."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from openwork.errors import CheckpointError
from openwork.kernels.candidate import Candidate
from openwork.kernels.dispatch import each_candidate, worth_measuring
from openwork.kernels.narrow.pair_tile import named_here
from openwork.kernels.problem import Problem
from openwork.runtime.nodes.conv import Conv
from openwork.runtime.tournament import Tournament

if TYPE_CHECKING:
    from openwork.kernels._C import Layer
else:
    Layer = object

__all__ = [
    "DENSE",
    "TORCH",
    "Layer",
    "Packs",
    "SharedWeights",
    "find_candidate",
    "is_large_and_dense",
]

Layers = Mapping[Conv, Layer]
"""The packed layer of each convolution."""

TORCH = "torch"
"""What files and tables say in place of a kernel's name where torch runs a layer."""

DENSE = "f32-linear-dense"
"""The family that runs a dense linear layer on its weight as it is."""

# Packing so many dense weights takes minutes for most kernels.
MANY_WEIGHTS = 1 << 22
_QUICKLY_PACKED = ("f32-conv-direct", "f32-conv-taps", "f32-conv-dense", DENSE)


def find_candidate(problem: Problem, kernel: str, isa: str) -> Candidate | None:
    """The candidate of that name; None if it cannot run `problem` with this instruction set."""
    name = named_here(kernel, isa)
    return next((each for each in each_candidate(problem, isa) if each.name == name), None)


def is_large_and_dense(conv: Conv) -> bool:
    """Whether packing `conv` for most kernels takes too long to try them."""
    return conv.density > 0.9 and conv.positions.size > MANY_WEIGHTS


def fastest_candidate(conv: Conv, isa: str, batch: int, threads: int) -> Candidate:
    """The kernel that runs `conv` fastest here, measured now.

    Args:
        conv: with its live weights.
        isa: instruction set.
        batch: images in the calls that are measured.
        threads: of the OpenMP pool.

    Raises:
        CheckpointError: no kernel can run it.
    """
    problem = conv.problem()
    only = _QUICKLY_PACKED if is_large_and_dense(conv) else None
    families = worth_measuring(problem, isa, batch, only)
    found = {each.name: each for family in families.values() for each in family}
    if not found:
        raise CheckpointError(
            f"no kernel can run layer {conv.layer!r} of shape {conv.shape} without torch; load "
            "the file with `openwork.load`"
        )
    tournament = Tournament(problem, len(conv.inputs) > 1, batch, threads)
    tournament.add_families(families.values())
    times = tournament.finish()
    return found[min(times, key=lambda name: times[name])]


Packs = dict[tuple[Any, ...], Any]
"""What was packed of a layer, whatever the size of its map; see `Problem.packed`."""


class SharedWeights:
    """Layers met so far: one with the same weights at another size gets the arrays of the first."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], list[tuple[Conv, Packs]]] = {}

    def packs(self, conv: Conv) -> Packs:
        """What was packed of the weights of `conv`, whose arrays are replaced by equal ones."""
        geometry = conv.stride, conv.padding, conv.dilation, conv.groups
        alike = self._known.setdefault((conv.layer, conv.shape, *geometry), [])
        for known, packs in alike:
            if _equal(known.weight, conv.weight) and _equal(known.positions, conv.positions):
                conv.weight, conv.positions = known.weight, known.positions
                if _equal(known.bias, conv.bias):
                    conv.bias = known.bias
                return packs
        alike.append((conv, {}))
        return alike[-1][1]


def _equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))
