"""Exported operators without weights that move or gather numbers: pools, shapes and channels."""

import operator
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.fx import Node as FxNode

from openwork.capture.nodes import arguments
from openwork.engine.lower.context import Lowering, Unknown, map_size, pair
from openwork.runtime.node import Node
from openwork.runtime.nodes import Concat, Mean, Pool, Slice
from openwork.runtime.values import Alias, Value

aten = torch.ops.aten


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
        raise Unknown("with a divisor")
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
    steps = pair(stride) if stride else window
    return _within_bounds(
        Pool([value], known.output(fx), window, steps, pair(padding), average, count_padding)
    )


def _within_bounds(pool: Pool) -> Pool:
    reason = pool.refusal()
    if reason is not None:
        raise Unknown(reason)
    return pool


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
    return _within_bounds(Pool([value], output, window, window, (0, 0), True, True))


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
