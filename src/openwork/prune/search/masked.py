"""A network as it would be with some weights gone, for a while and without a copy of it."""

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np

from openwork.prune.units.layers import Layer


class Masked:
    """Puts zeros into the weights of `layers` and takes them out again, bit for bit.

    Holds one copy of those weights, however many masks are tried.
    """

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        self._layers = layers
        self._whole = {name: x.module.weight.detach().clone() for name, x in layers.items()}

    @contextlib.contextmanager
    def trial(self, taps: Mapping[str, np.ndarray]) -> Iterator[None]:
        """Only `taps` (layer -> boolean array of its dense shape) live within the block.

        Whatever is raised there, the weights are as before afterwards.
        """
        try:
            for name, live in taps.items():
                layer = self._layers[name]
                layer.module.weight.detach().masked_fill_(~layer.live(live), 0)
            yield
        finally:
            for name, weight in self._whole.items():
                self._layers[name].module.weight.detach().copy_(weight)
