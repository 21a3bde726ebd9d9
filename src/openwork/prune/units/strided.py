"""Taps at regular distances inside a kernel, the same in all kernels that read one source map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from openwork.errors import ArgumentError
from openwork.prune.units.layers import Layer, nothing_lives
from openwork.prune.units.units import Group, Ratio, Units


@final
@dataclass(frozen=True, eq=False)
class StridedTaps(Units):
    """For each source map an offset; the live taps of its kernels follow from it at one stride.

    With n of K taps alive, tap `floor(j * K / n) + offset` (modulo K) lives for j = 0..n-1: every
    (K / n)-th tap where n divides K. All kernels of a source map share one mask, so that both
    matrices of a lowered convolution can shrink.

    Source: intra-kernel strided sparsity in "Structured Pruning of Deep Convolutional Neural
    Networks" (Anwar, Hwang, Sung 2015): a stride, an offset, one mask for each source map.
    Fractional strides, which make every ratio reachable, are our reading.
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
        return tuple((_source_count(layer), _tap_count(layer)) for layer in self.layers.values())

    def aggregate(self, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return [
            # The sum over the filters of a group is (groups, in / groups, taps).
            values[name]
            .reshape(layer.groups, -1, layer.shape[1], _tap_count(layer))
            .sum(axis=1)
            .reshape(_source_count(layer), -1)
            for name, layer in self.layers.items()
        ]

    def count_alive(self, masks: Mapping[str, np.ndarray]) -> int:
        return sum(
            int(_source_taps(layer, masks[name]).sum()) for name, layer in self.layers.items()
        )

    def max_ratios(self, of: str) -> list[float]:
        # Each live source map keeps one tap.
        taps = map(_tap_count, self.layers.values())
        return [
            1 - g.count / n / (g.count if of == "live" else g.total)
            for g, n in zip(self.groups, taps, strict=True)
        ]

    def check_ratio(self, ratio: Any, scope: str = "layer", of: str = "live") -> None:
        if scope == "global":
            raise ArgumentError(
                f"`scope`={scope!r} does not go with `granularity`='intra_kernel', whose source "
                "maps all lose the same share; use 'layer'"
            )
        super().check_ratio(ratio, scope, of)

    def masks(
        self, scores: Sequence[np.ndarray], ratio: Ratio, scope: str = "layer", of: str = "live"
    ) -> dict[str, np.ndarray]:
        self.check_ratio(ratio, scope, of)
        masks = {}
        triples = zip(self.layers.items(), self.kept(ratio, of), scores, strict=True)
        for (name, layer), kept, score in triples:
            masks[name] = layer.mask & _mask(layer, score, kept)
        return masks

    def kept(self, ratio: Ratio, of: str) -> list[int]:
        pairs = zip(self.by_group(ratio), self.groups, strict=True)
        return [
            min(g.count, int((1 - share) * (g.count if of == "live" else g.total) + 0.5))
            for share, g in pairs
        ]


def strided_taps(layers: Mapping[str, Layer]) -> StridedTaps:
    """The strided taps of `layers`; a layer with kernels of one tap is left whole, with a note.

    Source maps that no kernel reads do not count as live.

    Raises:
        ArgumentError: no layer has kernels of several taps, taps are cut already, or nothing
            lives.
    """
    wide = {name: layer for name, layer in layers.items() if _tap_count(layer) > 1}
    if not wide:
        raise ArgumentError(
            "`granularity`='intra_kernel' needs a layer with kernels of more than one tap, but "
            f"{', '.join(layers)} have none; use 'kernel'"
        )
    for name, layer in wide.items():
        if (layer.mask != layer.mask.any(axis=(2, 3), keepdims=True)).any():
            raise ArgumentError(
                f"layer {name!r} has lost single taps already; densify_ it first, or leave it out "
                "with `layers`"
            )
    live = {name: layer for name, layer in wide.items() if layer.mask.any()}
    if not live:
        raise nothing_lives(wide)
    groups = tuple(
        Group(
            f"layer {name!r}",
            int(_source_taps(layer, layer.mask).sum()),
            _source_count(layer) * _tap_count(layer),
            (name,),
        )
        for name, layer in live.items()
    )
    left = set(layers) - set(wide)
    notes = tuple(f"left whole: {name}: its kernels have one tap" for name in sorted(left))
    return StridedTaps(groups, live, notes=notes)


def _source_count(layer: Layer) -> int:
    return layer.shape[1] * layer.groups


def _tap_count(layer: Layer) -> int:
    return int(np.prod(layer.shape[2:]))


def _source_taps(layer: Layer, mask: np.ndarray) -> np.ndarray:
    """Which taps (groups, in / groups, kh, kw) live in any kernel of each source map."""
    by_group = mask.reshape(layer.groups, -1, *layer.shape[1:])
    return np.logical_or.reduce(by_group, axis=1)


def _mask(layer: Layer, scores: np.ndarray, total: int) -> np.ndarray:
    """The mask that gives each source map the offset of its highest score.

    `total` taps live, spread evenly over the live source maps: their numbers of taps differ by at
    most one.
    """
    taps = scores.shape[1]
    live = np.logical_or.reduce(_source_taps(layer, layer.mask).reshape(scores.shape), axis=1)
    sources = int(live.sum())
    counts = np.zeros(len(live), dtype=np.int64)
    counts[live] = np.diff(np.arange(sources + 1) * total // sources)
    chosen = np.empty(scores.shape, dtype=bool)
    for count in np.unique(counts):
        offered = offset_masks(count, taps)
        rows = counts == count
        chosen[rows] = offered[(scores[rows] @ offered.T).argmax(axis=1)]
    of_group = chosen.reshape(layer.groups, 1, layer.shape[1], *layer.shape[2:])
    filters = layer.shape[0] // layer.groups
    return np.repeat(of_group, filters, axis=1).reshape(layer.shape)


def offset_masks(count: int, taps: int) -> np.ndarray:
    """Every mask of `count` strided taps: boolean array (offsets, taps)."""
    first = np.zeros(taps, dtype=bool)
    first[np.arange(count) * taps // count] = True
    return np.stack([np.roll(first, offset) for offset in range(taps)])
