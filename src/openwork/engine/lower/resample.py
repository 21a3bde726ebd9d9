"""Exported operators that give maps of another size by weighing rows and columns."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.fx import Node as FxNode

from openwork.capture.operators import NotUnderstood, arguments
from openwork.engine.lower.context import Lowering, map_size
from openwork.runtime.node import Node
from openwork.runtime.nodes import Resample
from openwork.runtime.values import Value

aten = torch.ops.aten

# Places and weights along an axis, (taps, size) each; no weights: one tap of weight 1.
_Table = tuple[np.ndarray, np.ndarray | None]


def _resampled(value: Value, output: Value, tables: Sequence[_Table]) -> Node:
    (rows, row_weights), (columns, column_weights) = tables
    return Resample([value], output, rows, row_weights, columns, column_weights)


def padded_maps(value: Value, output: Value, widths: list[tuple[int, int]], mode: str) -> Node:
    """Maps with their own rows and columns around them, as torch's `mode` says."""
    height, width = map_size(value)
    if any(widths[0]) or min(min(pair) for pair in widths) < 0:
        raise NotUnderstood(f"in mode {mode} around other than rows and columns")
    tables = [
        (np.pad(np.arange(size, dtype=np.int32), pair, _MODES[mode])[None], None)  # type: ignore[call-overload]
        for size, pair in zip((height, width), widths[1:], strict=True)
    ]
    return _resampled(value, output, tables)


_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def unequal_means(value: Value, output: Value) -> Node:
    """The means of windows that overlap or differ in size, as an adaptive pool takes them."""
    tables = [
        _windows(inside, outside)
        for inside, outside in zip(value.shape[1:], output.shape[1:], strict=True)
    ]
    return _resampled(value, output, tables)


def _windows(inside: int, outside: int) -> _Table:
    start = np.arange(outside) * inside // outside
    stop = -(-np.arange(1, outside + 1) * inside // outside)
    count = stop - start
    taps = int(count.max())
    if taps > 1 << 10:
        raise NotUnderstood("into windows of more than 1024 places")
    # Smaller windows read their last place several times, each with a share of its weight.
    tap = np.arange(taps)[:, None]
    places = np.minimum(start + tap, stop - 1)
    weights = np.where(tap < count - 1, 1.0, 1.0 / (taps - count + 1)) / count
    return places.astype(np.int32), weights.astype(np.float32)


def _nearest(known: Lowering, fx: FxNode) -> Node:
    return _upsampled(known, fx, lambda old, new, scale: _nearest_places(old, new, scale, 0.0))


def _nearest_exact(known: Lowering, fx: FxNode) -> Node:
    return _upsampled(known, fx, lambda old, new, scale: _nearest_places(old, new, scale, 0.5))


def _bilinear(known: Lowering, fx: FxNode) -> Node:
    align = arguments(fx)["align_corners"]
    return _upsampled(known, fx, lambda old, new, scale: _between_two(old, new, scale, align))


def _upsampled(
    known: Lowering, fx: FxNode, table: Callable[[int, int, float | None], _Table]
) -> Node:
    given = arguments(fx)
    value, output = known.input(given.get("input", given.get("self"))), known.output(fx)
    map_size(value)
    scales = given.get("scale_factors") or (given.get("scales_h"), given.get("scales_w"))
    sizes = zip(value.shape[1:], output.shape[1:], scales, strict=True)
    return _resampled(value, output, [table(*each) for each in sizes])


def _ratio(inside: int, outside: int, scale: float | None) -> np.float32:
    # A scale that was given counts, although the output's size was rounded.
    return np.float32(1.0 / scale) if scale else np.float32(inside) / np.float32(outside)


def _nearest_places(inside: int, outside: int, scale: float | None, offset: float) -> _Table:
    # In single precision, as torch computes them.
    at = (np.arange(outside, dtype=np.float32) + np.float32(offset)) * _ratio(
        inside, outside, scale
    )
    if offset == 0.0 and outside in (inside, 2 * inside):
        at = np.arange(outside) // (outside // inside)
    places = np.minimum(np.floor(at).astype(np.int32), inside - 1)
    return places.astype(np.int32)[None], None


def _between_two(inside: int, outside: int, scale: float | None, align: bool) -> _Table:
    at = np.arange(outside, dtype=np.float32)
    if inside == outside:
        real = at
    elif align:
        step = np.float32(inside - 1) / np.float32(outside - 1) if outside > 1 else np.float32(0)
        real = at * step
    else:
        half = np.float32(0.5)
        real = np.maximum(_ratio(inside, outside, scale) * (at + half) - half, np.float32(0))
    first = np.minimum(real.astype(np.int32), inside - 1)
    second = np.minimum(first + 1, inside - 1) if inside != outside else first
    share = np.clip(real - first.astype(np.float32), np.float32(0), np.float32(1))
    return np.stack([first, second]).astype(np.int32), np.stack([1 - share, share])


RESAMPLED: dict[Any, Callable[[Lowering, FxNode], Node]] = {
    aten.upsample_nearest2d.vec: _nearest,
    aten.upsample_nearest2d.default: _nearest,
    aten._upsample_nearest_exact2d.vec: _nearest_exact,
    aten._upsample_nearest_exact2d.default: _nearest_exact,
    aten.upsample_bilinear2d.vec: _bilinear,
    aten.upsample_bilinear2d.default: _bilinear,
}
