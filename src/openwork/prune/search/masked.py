"""A network with some weights set to zero for a while, without a copy of it."""

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np

from openwork.prune.units.layers import Layer


class Masked:
    """Sets weights of `layers` to zero and restores them bit for bit.

    Holds one copy of those weights, no matter how many masks are tried.
    """

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        self._layers = layers
        self._whole = {name: x.module.weight.detach().clone() for name, x in layers.items()}

    @contextlib.contextmanager
    def trial(self, masks: Mapping[str, np.ndarray]) -> Iterator[None]:
        """Within the block only the weights of `masks` live; the others are zero.

        Whatever is raised inside, the weights are restored afterwards.

        Args:
            masks: layer -> boolean array of the shape of its dense weight.
        """
        try:
            for name, mask in masks.items():
                layer = self._layers[name]
                layer.module.weight.detach().masked_fill_(~layer.stored(mask), 0)
            yield
        finally:
            for name, weight in self._whole.items():
                self._layers[name].module.weight.detach().copy_(weight)
