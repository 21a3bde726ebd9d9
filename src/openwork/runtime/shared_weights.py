"""`SharedWeights`: a network at several sizes of image holds and packs its weights once."""

from typing import Any

import numpy as np

from openwork.runtime.nodes.conv import Conv

__all__ = ["Packs", "SharedWeights"]

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
