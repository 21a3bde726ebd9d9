"""Taps at regular distances inside a kernel, the same in all kernels that read one source map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from openwork.errors import ArgumentError
from openwork.prune.units.layers import Layer, nothing_lives
from openwork.prune.units.units import Group, Units


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
        return sum(int(_of_sources(layer, taps[name]).sum()) for name, layer in self.layers.items())

    def most(self, scope: str, of: str) -> float:
        # One tap of each source map that lives is left.
        taps = map(_taps, self.layers.values())
        return min(
            1 - g.count / n / (g.count if of == "live" else g.total)
            for g, n in zip(self.groups, taps, strict=True)
        )

    def check_ratio(self, ratio: float, scope: str = "layer", of: str = "live") -> None:
        if scope == "global":
            raise ArgumentError(
                f"`scope`={scope!r} does not go with `granularity`='intra_kernel', whose source "
                "maps all lose the same share; use 'layer'"
            )
        super().check_ratio(ratio, scope, of)

    def masks(
        self, scores: Sequence[np.ndarray], ratio: float, scope: str = "layer", of: str = "live"
    ) -> dict[str, np.ndarray]:
        self.check_ratio(ratio, scope, of)
        found = {}
        triples = zip(self.layers.items(), self.groups, scores, strict=True)
        for (name, layer), group, score in triples:
            kept = int((1 - ratio) * (group.count if of == "live" else group.total) + 0.5)
            found[name] = layer.taps & _mask(layer, score, min(kept, group.count))
        return found


def strided_taps(layers: Mapping[str, Layer]) -> StridedTaps:
    """The strided taps of `layers`; a layer whose kernels have one tap is left whole and noted.

    Source maps that no kernel reads count as gone.

    Raises:
        ArgumentError: no layer has kernels of several taps, taps are cut already, or nothing
            lives.
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
    living = {name: layer for name, layer in wide.items() if layer.taps.any()}
    if not living:
        raise nothing_lives(wide)
    groups = tuple(
        Group(f"layer {n!r}", int(_of_sources(x, x.taps).sum()), _sources(x) * _taps(x))
        for n, x in living.items()
    )
    left = set(layers) - set(wide)
    notes = tuple(f"left whole: {name}: its kernels have one tap" for name in sorted(left))
    return StridedTaps(groups, living, notes=notes)


def _sources(layer: Layer) -> int:
    return layer.shape[1] * layer.groups


def _taps(layer: Layer) -> int:
    return int(np.prod(layer.shape[2:]))


def _of_sources(layer: Layer, taps: np.ndarray) -> np.ndarray:
    """Which taps (groups, in / groups, kh, kw) some kernel of a source map has in `taps`."""
    by_group = taps.reshape(layer.groups, -1, *layer.shape[1:])
    return np.logical_or.reduce(by_group, axis=1)


def _mask(layer: Layer, scores: np.ndarray, total: int) -> np.ndarray:
    """The mask (shape of the layer) with the offset of the highest score in each source map.

    `total` taps are left, spread evenly over the source maps that live, so that no two of them
    differ by more than one.
    """
    taps = scores.shape[1]
    lives = np.logical_or.reduce(_of_sources(layer, layer.taps).reshape(scores.shape), axis=1)
    sources = int(lives.sum())
    counts = np.zeros(len(lives), dtype=np.int64)
    counts[lives] = np.diff(np.arange(sources + 1) * total // sources)
    chosen = np.empty(scores.shape, dtype=bool)
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
