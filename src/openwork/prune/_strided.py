"""Taps at regular distances inside a kernel, the same in all kernels that read one source map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from openwork.errors import ArgumentError
from openwork.prune._layers import Layer
from openwork.prune._units import Group, Units


@final
@dataclass(frozen=True, eq=False)
class StridedTaps(Units):
    """For each source map an offset, from which its kernels' live taps follow at one stride.

    With n of K taps alive, tap `floor(j * K / n) + offset` (modulo K) lives for j = 0..n-1: where
    n divides K, every (K / n)-th. One mask for all kernels of a source map lets both matrices of
    a lowered convolution shrink.

    Source: intra-kernel strided sparsity in "Structured Pruning of Deep Convolutional Neural
    Networks" (Anwar, Hwang, Sung 2015): a stride, an offset, one mask a source map. Strides that
    are no whole numbers, so that any ratio can be reached, are our reading.
    """

    groups: tuple[Group, ...]
    layers: Mapping[str, Layer]
    noun: str = "taps"
    notes: tuple[str, ...] = ()

    @property
    def chosen(self) -> tuple[str, ...]:
        return tuple(self.layers)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple((_sources(layer), _taps(layer)) for layer in self.layers.values())

    def sums(self, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return [
            # Filters of a group are added up; what is left is (groups, in / groups, taps).
            values[name]
            .reshape(layer.groups, -1, layer.shape[1], _taps(layer))
            .sum(axis=1)
            .reshape(_sources(layer), -1)
            for name, layer in self.layers.items()
        ]

    def living(self, taps: Mapping[str, np.ndarray]) -> int:
        return sum(
            int(taps[name].reshape(layer.groups, -1, *layer.shape[1:]).any(axis=1).sum())
            for name, layer in self.layers.items()
        )

    def most(self, scope: str, of: str) -> float:
        return min(1 - 1 / _taps(layer) for layer in self.layers.values())

    def masks(
        self, scores: Sequence[np.ndarray], ratio: float, scope: str = "layer", of: str = "live"
    ) -> dict[str, np.ndarray]:
        self.check_ratio(ratio, scope, of)
        if scope != "layer":
            raise ArgumentError(
                f"`scope`={scope!r} does not go with `granularity`='intra_kernel', whose source "
                "maps all lose the same share; use 'layer'"
            )
        pairs = zip(self.layers.items(), scores, strict=True)
        return {name: layer.taps & _mask(layer, score, ratio) for (name, layer), score in pairs}


def strided_taps(layers: Mapping[str, Layer]) -> StridedTaps:
    """The strided taps of `layers`; a layer whose kernels have one tap is left whole and noted.

    Raises:
        ArgumentError: no layer has kernels of several taps, or taps are cut already.
    """
    wide = {name: layer for name, layer in layers.items() if _taps(layer) > 1}
    if not wide:
        raise ArgumentError(
            "`granularity`='intra_kernel' needs a layer with kernels of more than one tap, but "
            f"{', '.join(layers)} have none; use 'kernel'"
        )
    for name, layer in wide.items():
        if (layer.taps != layer.taps.any(axis=(2, 3), keepdims=True)).any():
            raise ArgumentError(
                f"layer {name!r} has lost single taps already; densify_ it first, or leave it out "
                "with `layers`"
            )
    groups = tuple(
        Group(f"layer {n!r}", _sources(x) * _taps(x), _sources(x) * _taps(x))
        for n, x in wide.items()
    )
    left = set(layers) - set(wide)
    notes = tuple(f"left whole: {name}: its kernels have one tap" for name in sorted(left))
    return StridedTaps(groups, wide, notes=notes)


def _sources(layer: Layer) -> int:
    return layer.shape[1] * layer.groups


def _taps(layer: Layer) -> int:
    return int(np.prod(layer.shape[2:]))


def _mask(layer: Layer, scores: np.ndarray, ratio: float) -> np.ndarray:
    """The mask (shape of the layer) with the offset of the highest score in each source map."""
    sources, taps = scores.shape
    total = int((1 - ratio) * sources * taps + 0.5)
    # Spread evenly, so that the sum is met to half a tap and no two maps differ by more than one.
    counts = np.diff(np.arange(sources + 1) * total // sources)
    chosen = np.empty((sources, taps), dtype=bool)
    for count in np.unique(counts):
        offered = _offsets(count, taps)
        rows = counts == count
        chosen[rows] = offered[(scores[rows] @ offered.T).argmax(axis=1)]
    of_group = chosen.reshape(layer.groups, 1, layer.shape[1], *layer.shape[2:])
    filters = layer.shape[0] // layer.groups
    return np.repeat(of_group, filters, axis=1).reshape(layer.shape)


def _offsets(count: int, taps: int) -> np.ndarray:
    """All masks of `count` strided taps (offsets, taps), one a row."""
    first = np.zeros(taps, dtype=bool)
    first[np.arange(count) * taps // count] = True
    return np.stack([np.roll(first, offset) for offset in range(taps)])
