"""Exported operators with weights: convolutions, linear layers, batch normalisation."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.fx import Node as FxNode

from openwork.capture.operators import (
    BatchNorm,
    Convolution,
    Linear,
    NotUnderstood,
    batch_norm,
    convolution,
    linear,
)
from openwork.engine.lower.context import Lowering, map_size, pair
from openwork.engine.lower.in_memory import Made, axis_first, through
from openwork.patterns import Pattern
from openwork.runtime.node import Node
from openwork.runtime.nodes import Affine, Conv
from openwork.runtime.nodes.conv import live_positions
from openwork.runtime.values import Value

aten = torch.ops.aten

_Pair = tuple[int, int]
# Size of the map, stride, padding, dilation and groups.
_Geometry = tuple[_Pair, _Pair, _Pair, _Pair, int]


def _convolution(known: Lowering, fx: FxNode) -> Node:
    record = convolution(fx)
    shape, positions, live = _live_weights(known, record, record.groups)
    padding = pair(record.padding_of(tuple(shape[2:])))
    geometry = (pair(record.stride), padding, pair(record.dilation), record.groups)
    size = map_size(known.input(record.input))
    return _conv(known, fx, record, shape, positions, live, (size, *geometry))


def _convolution1d(known: Lowering, fx: FxNode) -> Node:
    """A convolution of maps with one row."""
    record = convolution(fx)
    value = known.input(record.input)
    if len(value.shape) != 2:
        raise NotUnderstood("not a batch of rows")
    (out, inside, length), positions, live = _live_weights(known, record, record.groups)
    (stride,), (dilation,) = record.stride, record.dilation
    (padding,) = record.padding_of((length,))
    geometry = ((1, value.shape[1]), (1, stride), (0, padding), (1, dilation), record.groups)
    return _conv(known, fx, record, (out, inside, 1, length), positions, live, geometry)


def _linear(known: Lowering, fx: FxNode) -> Made:
    record = linear(fx)
    weights = _live_weights(known, record, 1)
    if len(known.input(record.input).shape) == 1:
        return _conv(known, fx, record, *weights)
    # Along the last axis, for each place along the others: a 1x1 convolution of maps with as many
    # pixels as there are places.
    held = axis_first(known, record.input, -1)
    out, places = weights[0][0], held.value.shape[1:]
    size = math.prod(places[:-1]), places[-1]
    geometry = None if size == (1, 1) else (size, *_POINT[1:])

    def conv(output: Value) -> Node:
        return _conv(known, fx, record, *weights, geometry, (held.value, output))

    return through(known, fx, held, conv, (out, *places))


def _live_weights(
    known: Lowering, record: Convolution | Linear, groups: int
) -> tuple[tuple[int, ...], np.ndarray, np.ndarray]:
    """A weight's shape, the places of its live numbers, and these numbers."""
    weight = _weight(known, record.weight)
    if record.shape is None:
        positions = (
            live_positions(weight) if isinstance(record, Convolution) else np.flatnonzero(weight)
        )
        return weight.shape, positions, weight.reshape(-1)[positions]
    return (
        record.shape,
        _pattern(known, weight, record.gaps, record.shape, groups).positions,
        weight,
    )


def _conv(
    known: Lowering,
    fx: FxNode,
    record: Convolution | Linear,
    shape: tuple[int, ...],
    positions: np.ndarray,
    live: np.ndarray,
    geometry: _Geometry | None = None,
    ends: tuple[Value, Value] | None = None,
) -> Node:
    """A convolution from one of `ends` to the other; without a `geometry`, a linear layer."""
    value, output = ends or (known.input(record.input), known.output(fx))
    out, inside, *kernel = shape
    height, width = kernel or (1, 1)
    size, stride, padding, dilation, groups = geometry or _POINT
    conv = Conv(
        [value],
        output,
        known.layer_name(fx, record.weight),
        size,
        (out, inside, height, width),
        stride,
        padding,
        dilation,
        groups,
        positions,
        live,
        known.constant(record.bias),
        linear=geometry is None,
    )
    narrow = known.narrow.get(record.weight.name)
    if narrow is not None:
        known.narrow[conv] = narrow
    return conv


_POINT: _Geometry = ((1, 1), (1, 1), (0, 0), (1, 1), 1)  # of a linear layer


def _weight(known: Lowering, argument: Any) -> np.ndarray:
    weight = known.constant(argument)
    if weight is None or weight.dtype != np.float32:
        raise NotUnderstood("weight not float32")
    return weight


def _pattern(known: Lowering, live: np.ndarray, gaps: Any, shape: Any, groups: Any) -> Pattern:
    steps = known.constant(gaps)
    if steps is None:
        raise NotUnderstood("no pattern")
    return Pattern.from_gaps(tuple(shape), steps, whole=live.size != steps.size, groups=groups)


def _batch_norm(known: Lowering, fx: FxNode) -> Node:
    norm = batch_norm(fx)
    if norm.training:
        raise NotUnderstood("in training mode")
    scale, shift = _scale_shift(known, norm)
    return Affine([known.input(norm.input)], known.output(fx), scale, shift)


def _batch_norm_legit(known: Lowering, fx: FxNode) -> Node:
    # It gives a tuple whose first item is the map.
    norm = batch_norm(fx)
    value = known.input(norm.input)
    scale, shift = _scale_shift(known, norm)
    return Affine([value], Value(value.shape, fx.name), scale, shift)


def _scale_shift(known: Lowering, norm: BatchNorm) -> tuple[np.ndarray, np.ndarray]:
    mean, variance = known.constant(norm.mean), known.constant(norm.variance)
    if mean is None or variance is None:
        raise NotUnderstood("no running statistics")
    # In double precision: the fold is done once, and its rounding would reach every pixel.
    scale = 1.0 / np.sqrt(variance.astype(np.float64) + norm.eps)
    gamma, beta = known.constant(norm.weight), known.constant(norm.bias)
    if gamma is not None:
        scale = scale * gamma
    shift = -mean.astype(np.float64) * scale
    if beta is not None:
        shift = shift + beta
    return scale, shift


LAYERS: dict[Any, Callable[[Lowering, FxNode], Made]] = {
    aten.conv1d.default: _convolution1d,
    aten.conv1d.padding: _convolution1d,
    aten.conv2d.default: _convolution,
    aten.conv2d.padding: _convolution,
    aten.linear.default: _linear,
    torch.ops.openwork.sparse_conv2d.default: _convolution,
    torch.ops.openwork.sparse_linear.default: _linear,
    aten.batch_norm.default: _batch_norm,
    aten._native_batch_norm_legit_no_training.default: _batch_norm_legit,
}
