"""Exported operators with weights: convolutions, linear layers, batch normalisation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.fx import Node as FxNode

from openwork.capture.nodes import arguments
from openwork.engine.lower.context import Lowering, Unknown, map_size, pair
from openwork.patterns import Pattern
from openwork.runtime.node import Node
from openwork.runtime.nodes import Affine, Conv
from openwork.runtime.nodes.conv import live_positions
from openwork.runtime.values import Value

aten = torch.ops.aten


def _conv2d(known: Lowering, fx: FxNode) -> Node:
    x, weight, bias, stride, padding, dilation, groups = arguments(fx, None, None, None, 1, 0, 1, 1)
    dense = _weight(known, weight)
    if isinstance(padding, str):
        padding = _named_padding(padding, dense.shape[2:], pair(dilation))
    positions = live_positions(dense)
    return _conv(
        known, fx, x, weight, bias, dense.shape, positions, dense.reshape(-1)[positions],
        (pair(stride), pair(padding), pair(dilation), groups),
    )  # fmt: skip


def _sparse_conv2d(known: Lowering, fx: FxNode) -> Node:
    x, weight, gaps, bias, shape, stride, padding, dilation, groups = arguments(fx)
    live = _weight(known, weight)
    positions = _pattern(known, live, gaps, shape, groups).positions
    return _conv(
        known, fx, x, weight, bias, shape, positions, live,
        (pair(stride), pair(padding), pair(dilation), groups),
    )  # fmt: skip


def _conv(
    known: Lowering,
    fx: FxNode,
    x: Any,
    weight: Any,
    bias: Any,
    shape: Any,
    positions: np.ndarray,
    live: np.ndarray,
    geometry: tuple[tuple[int, int], tuple[int, int], tuple[int, int], int] | None = None,
) -> Node:
    """A convolution, or without a `geometry` a linear layer."""
    value = known.input(x)
    if geometry is None and len(value.shape) != 1:
        raise Unknown("over more than one axis")
    out, inside, *kernel = shape
    height, width = kernel or (1, 1)
    return Conv(
        [value],
        known.output(fx),
        known.layer_name(fx, weight),
        map_size(value) if geometry else (1, 1),
        (out, inside, height, width),
        *(geometry or _POINT),
        positions,
        live,
        known.constant(bias),
        linear=geometry is None,
    )


# Stride, padding, dilation and groups of a linear layer.
_POINT = ((1, 1), (0, 0), (1, 1), 1)


def _linear(known: Lowering, fx: FxNode) -> Node:
    x, weight, bias = arguments(fx, None, None, None)
    dense = _weight(known, weight)
    positions = np.flatnonzero(dense)
    live = dense.reshape(-1)[positions]
    return _conv(known, fx, x, weight, bias, dense.shape, positions, live)


def _sparse_linear(known: Lowering, fx: FxNode) -> Node:
    x, weight, gaps, bias, shape = arguments(fx)
    live = _weight(known, weight)
    positions = _pattern(known, live, gaps, shape, 1).positions
    return _conv(known, fx, x, weight, bias, shape, positions, live)


def _weight(known: Lowering, argument: Any) -> np.ndarray:
    weight = known.constant(argument)
    if weight is None or weight.dtype != np.float32:
        raise Unknown("weight not float32")
    return weight


def _pattern(known: Lowering, live: np.ndarray, gaps: Any, shape: Any, groups: Any) -> Pattern:
    steps = known.constant(gaps)
    if steps is None:
        raise Unknown("no pattern")
    return Pattern.from_gaps(tuple(shape), steps, whole=live.size != steps.size, groups=groups)


def _named_padding(name: str, kernel: Any, dilation: tuple[int, int]) -> tuple[int, int]:
    if name == "valid":
        return 0, 0
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if reach[0] % 2 or reach[1] % 2:
        raise Unknown("more padding on one side than on the other")
    return reach[0] // 2, reach[1] // 2


def _batch_norm(known: Lowering, fx: FxNode) -> Node:
    x, weight, bias, mean, variance, training, _, eps = fx.args[:8]
    if training:
        raise Unknown("in training mode")
    scale, shift = _scale_shift(known, weight, bias, mean, variance, eps)
    return Affine([known.input(x)], known.output(fx), scale, shift)


def _batch_norm_legit(known: Lowering, fx: FxNode) -> Node:
    # It gives a tuple whose first item is the map.
    x, weight, bias, mean, variance, _, eps = fx.args[:7]
    value = known.input(x)
    scale, shift = _scale_shift(known, weight, bias, mean, variance, eps)
    return Affine([value], Value(value.shape, fx.name), scale, shift)


def _scale_shift(
    known: Lowering, weight: Any, bias: Any, mean: Any, variance: Any, eps: Any
) -> tuple[np.ndarray, np.ndarray]:
    middle, spread = known.constant(mean), known.constant(variance)
    if middle is None or spread is None:
        raise Unknown("no running statistics")
    # In double precision: the fold is done once, and its rounding would reach every pixel.
    scale = 1.0 / np.sqrt(spread.astype(np.float64) + eps)
    gamma, beta = known.constant(weight), known.constant(bias)
    if gamma is not None:
        scale = scale * gamma
    shift = -middle.astype(np.float64) * scale
    if beta is not None:
        shift = shift + beta
    return scale, shift


LAYERS: dict[Any, Callable[[Lowering, FxNode], Node | Value]] = {
    aten.conv2d.default: _conv2d,
    aten.conv2d.padding: _conv2d,
    aten.linear.default: _linear,
    torch.ops.openwork.sparse_conv2d.default: _sparse_conv2d,
    torch.ops.openwork.sparse_linear.default: _sparse_linear,
    aten.batch_norm.default: _batch_norm,
    aten._native_batch_norm_legit_no_training.default: _batch_norm_legit,
}
