"""Exported operators without weights: pools, sums, gates, activations, shapes and channels."""

import operator
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.fx import Node as FxNode

from openwork.capture.nodes import arguments
from openwork.engine.graph import (
    Add,
    Affine,
    Alias,
    Concat,
    Gate,
    Mean,
    Node,
    Pool,
    Slice,
    Value,
)
from openwork.engine.lowering import Lowering, Unknown, map_size, pair
from openwork.kernels.problem import Activation

aten = torch.ops.aten


def _activation(name: Activation) -> Callable[[Lowering, FxNode], Node]:
    def handler(known: Lowering, fx: FxNode) -> Node:
        return Add([known.input(fx.args[0])], known.output(fx), name)

    return handler


def _hardtanh(known: Lowering, fx: FxNode) -> Node:
    x, low, high = arguments(fx, None, -1.0, 1.0)
    if (low, high) != (0.0, 6.0):
        raise Unknown(f"from {low} to {high}")
    return Add([known.input(x)], known.output(fx), "relu6")


def _add(known: Lowering, fx: FxNode) -> Node:
    if fx.kwargs.get("alpha", 1) != 1:
        raise Unknown("with a factor")
    x, channels = _and_constant(known, fx)
    if channels is not None:
        return Affine([x], known.output(fx), np.ones_like(channels), channels)
    a, b = known.input(fx.args[0]), known.input(fx.args[1])
    if a.shape != b.shape:
        raise Unknown("of different shapes")
    return Add([a, b], known.output(fx))


def _mul(known: Lowering, fx: FxNode) -> Node:
    x, channels = _and_constant(known, fx)
    if channels is not None:
        return Affine([x], known.output(fx), channels, np.zeros_like(channels))
    a, b = (known.input(_before_expanding(known, argument)) for argument in fx.args[:2])
    for x, gates in ((a, b), (b, a)):
        if len(x.shape) == 3 and gates.shape == (x.shape[0], 1, 1):
            return Gate([x, gates], known.output(fx))
    raise Unknown("no gate for each map")


def _before_expanding(known: Lowering, argument: Any) -> Any:
    """What was stretched over the maps, as gates often are although a product does so itself."""
    if isinstance(argument, FxNode) and argument.target in _EXPANSIONS:
        source = argument.args[0]
        if isinstance(source, FxNode) and source in known.values and source.meta["val"].dim() == 4:
            return source
    return argument


_EXPANSIONS = {aten.expand_as.default, aten.expand.default}


def _and_constant(known: Lowering, fx: FxNode) -> tuple[Value, np.ndarray | None]:
    """An activation, and one number for each of its channels if the other operand is constant."""
    first, second = fx.args
    constant = isinstance(first, FxNode) and first.name in known.constants
    x, other = (second, first) if constant else (first, second)
    value = known.input(x)
    if isinstance(other, FxNode):
        if other.name not in known.constants:
            return value, None
        other = known.constants[other.name]
    numbers = np.asarray(other.detach() if isinstance(other, torch.Tensor) else other, np.float64)
    wanted = (1, value.shape[0]) + (1,) * (len(value.shape) - 1)
    shape = (1,) * (len(wanted) - numbers.ndim) + numbers.shape
    if numbers.size != 1 and shape != wanted:
        raise Unknown("a constant with another shape than one number for each channel")
    return value, np.broadcast_to(numbers.reshape(-1), value.shape[:1]).copy()


def _max_pool(known: Lowering, fx: FxNode) -> Node:
    x, kernel, stride, padding, dilation, _ = arguments(fx, None, None, [], 0, 1, False)
    if pair(dilation) != (1, 1):
        raise Unknown("dilated")
    return _pool(known, fx, x, kernel, stride, padding, average=False, count_padding=False)


def _avg_pool(known: Lowering, fx: FxNode) -> Node:
    x, kernel, stride, padding, _, count, divisor = arguments(
        fx, None, None, [], 0, False, True, None
    )
    if divisor is not None:
        raise Unknown("a divisor of its own")
    return _pool(known, fx, x, kernel, stride, padding, average=True, count_padding=count)


def _pool(
    known: Lowering,
    fx: FxNode,
    x: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    *,
    average: bool,
    count_padding: bool,
) -> Node:
    value = known.input(x)
    map_size(value)
    window = pair(kernel)
    if max(window) > _WIDEST:
        raise Unknown(f"a window wider than {_WIDEST}")
    steps = pair(stride) if stride else window
    return Pool([value], known.output(fx), window, steps, pair(padding), average, count_padding)


# Of a window, csrc/program/steps.cpp.
_WIDEST = 1024


def _adaptive(known: Lowering, fx: FxNode) -> Node | Value:
    value, output = known.input(fx.args[0]), known.output(fx)
    height, width = map_size(value)
    wanted = output.shape[1:]
    if wanted == (1, 1):
        return Mean([value], output)
    if wanted == (height, width):
        return value
    if height % wanted[0] or width % wanted[1]:
        raise Unknown("into unequal windows")
    window = (height // wanted[0], width // wanted[1])
    if max(window) > _WIDEST:
        raise Unknown(f"a window wider than {_WIDEST}")
    return Pool([value], output, window, window, (0, 0), True, True)


def _mean(known: Lowering, fx: FxNode) -> Node:
    value, output = known.input(fx.args[0]), known.output(fx)
    axes = arguments(fx)[1]
    if len(value.shape) != 3 or not axes or {axis % 4 for axis in axes} != {2, 3}:
        raise Unknown("over other axes than height and width")
    return Mean([value], output)


def _reshape(known: Lowering, fx: FxNode) -> Value:
    value, output = known.input(fx.args[0]), known.output(fx)
    return value if value.shape == output.shape else Alias(value, output.shape)


def _same(known: Lowering, fx: FxNode) -> Value:
    known.output(fx)
    return known.input(fx.args[0])


def _dropout(known: Lowering, fx: FxNode) -> Value:
    if fx.args[2]:
        raise Unknown("in training mode")
    return known.input(fx.args[0])


def _cat(known: Lowering, fx: FxNode) -> Node:
    tensors, axis = arguments(fx, None, 0)
    values = [known.input(tensor) for tensor in tensors]
    if axis % (len(values[0].shape) + 1) != 1:
        raise Unknown("along another axis than the channels")
    return Concat(values, known.output(fx), list(values), [value.shape[0] for value in values])


def _pad(known: Lowering, fx: FxNode) -> Node:
    x, widths, mode, fill = arguments(fx, None, None, "constant", None)
    value = known.input(x)
    map_size(value)
    if mode != "constant" or fill or len(widths) != 6 or any(widths[:4]) or min(widths) < 0:
        raise Unknown("other than zero channels around the channels")
    parts: list[Value | None] = [value]
    channels = [value.shape[0]]
    if widths[4]:
        parts, channels = [None, *parts], [widths[4], *channels]
    if widths[5]:
        parts, channels = [*parts, None], [*channels, widths[5]]
    return Concat([value], known.output(fx), parts, channels)


def _slice(known: Lowering, fx: FxNode) -> Node | Value:
    x, axis, start, _, step = arguments(fx, None, 0, None, None, 1)
    value, output = known.input(x), known.output(fx)
    if value.shape == output.shape:
        return value
    if axis % (len(value.shape) + 1) != 1 or step != 1:
        raise Unknown("other than neighbouring channels")
    first = start or 0
    return Slice([value], output, first if first >= 0 else max(0, first + value.shape[0]))


def _item(known: Lowering, fx: FxNode) -> Node | Value:
    source, index = fx.args
    if not isinstance(source, FxNode) or not isinstance(index, int):
        raise Unknown("no item of an operator's results")
    if source.target in _GIVES_TUPLE and source in known.native and index == 0:
        return known.values[source]
    if source.target not in _SPLITS:
        raise Unknown("an item of results that torch computes")
    x, _, axis = arguments(source, None, None, 0)
    value = known.input(x)
    if axis % (len(value.shape) + 1) != 1:
        raise Unknown("split along another axis than the channels")
    ends = np.cumsum([0, *(part.shape[1] for part in source.meta["val"])]).tolist()
    first, last = list(pairwise(ends))[index]
    output = known.output(fx)
    return value if last - first == value.shape[0] else Slice([value], output, first)


_GIVES_TUPLE = {aten._native_batch_norm_legit_no_training.default}
_SPLITS = {aten.chunk.default, aten.split.Tensor, aten.split_with_sizes.default}
MAPS: dict[Any, Callable[[Lowering, FxNode], Node | Value]] = {
    operator.getitem: _item,
    aten.hardtanh.default: _hardtanh,
    aten.hardtanh_.default: _hardtanh,
    aten.add.Tensor: _add,
    aten.add_.Tensor: _add,
    aten.mul.Tensor: _mul,
    aten.mul_.Tensor: _mul,
    aten.max_pool2d.default: _max_pool,
    aten.avg_pool2d.default: _avg_pool,
    aten.adaptive_avg_pool2d.default: _adaptive,
    aten.mean.dim: _mean,
    aten.flatten.using_ints: _reshape,
    aten.view.default: _reshape,
    aten.reshape.default: _reshape,
    aten.unsqueeze.default: _reshape,
    aten.squeeze.dim: _reshape,
    aten.squeeze.dims: _reshape,
    aten.dropout.default: _dropout,
    aten.dropout_.default: _dropout,
    aten.feature_dropout.default: _dropout,
    aten.contiguous.default: _same,
    aten.clone.default: _same,
    aten.cat.default: _cat,
    aten.pad.default: _pad,
    aten.slice.Tensor: _slice,
}
_ACTIVATIONS: tuple[Activation, ...] = (
    *("relu", "relu6", "silu", "hardswish", "sigmoid", "hardsigmoid"),
)
for _name in _ACTIVATIONS:
    for _form in (_name, f"{_name}_"):
        MAPS[getattr(aten, _form).default] = _activation(_name)
