"""Exported operators without weights that move or gather numbers: pools, means and shapes."""

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.fx import Node as FxNode

from openwork.capture.operators import (
    NotUnderstood,
    arguments,
    joined,
    operand,
    pool,
)
from openwork.engine.lower.context import Lowering, map_size, pair
from openwork.engine.lower.in_memory import Made, axis_first, in_order, through
from openwork.engine.lower.rearrange import item_of_parts
from openwork.engine.lower.resample import unequal_means
from openwork.runtime.node import Node
from openwork.runtime.nodes import Concat, Mean, Pool
from openwork.runtime.values import Alias, Value

aten = torch.ops.aten


def _pool(known: Lowering, fx: FxNode) -> Node:
    record = pool(fx)
    if pair(record.dilation) != (1, 1):
        raise NotUnderstood("dilated")
    if record.divisor is not None:
        raise NotUnderstood("with a divisor")
    value = known.input(record.input)
    map_size(value)
    return _within_bounds(
        Pool(
            [value],
            known.output(fx),
            pair(record.window),
            pair(record.stride),
            pair(record.padding),
            record.average,
            record.count_padding,
        )
    )


def _within_bounds(pool: Pool) -> Pool:
    reason = pool.refusal()
    if reason is not None:
        raise NotUnderstood(reason)
    return pool


def _adaptive(known: Lowering, fx: FxNode) -> Node | Value:
    value, output = known.input(operand(fx)), known.output(fx)
    height, width = map_size(value)
    wanted = output.shape[1:]
    if wanted == (1, 1):
        return Mean([value], output)
    if wanted == (height, width):
        return value
    if height % wanted[0] or width % wanted[1]:
        return unequal_means(value, output)
    window = (height // wanted[0], width // wanted[1])
    return _within_bounds(Pool([value], output, window, window, (0, 0), True, True))


def _reshape(known: Lowering, fx: FxNode) -> Value:
    value, output = known.input(operand(fx)), known.output(fx)
    return value if value.shape == output.shape else Alias(value, output.shape)


def _same(known: Lowering, fx: FxNode) -> Value:
    known.output(fx)
    return known.input(operand(fx))


def _to(known: Lowering, fx: FxNode) -> Value:
    if arguments(fx)["copy"]:
        raise NotUnderstood("as a copy")
    return _same(known, fx)


def _dropout(known: Lowering, fx: FxNode) -> Value:
    if arguments(fx)["train"]:
        raise NotUnderstood("in training mode")
    return known.input(operand(fx))


def _cat(known: Lowering, fx: FxNode) -> Made:
    cat = joined(fx)
    first, *others = cat.tensors
    axis = cat.axis % (len(known.input(first).shape) + 1) - 1
    if axis < 0:
        raise NotUnderstood("along the batch")
    lead = axis_first(known, first, axis)
    parts = [lead, *(in_order(known, tensor, lead.order) for tensor in others)]
    values, channels = [p.value for p in parts], [p.value.shape[0] for p in parts]

    def concat(output: Value) -> Node:
        return Concat(values, output, list(values), channels)

    made = [node for part in parts for node in part.nodes]
    shape = (sum(channels), *lead.value.shape[1:])
    return through(known, fx, replace(lead, nodes=made), concat, shape)


def _item(known: Lowering, fx: FxNode) -> Node | Value:
    source, index = fx.args
    if not isinstance(source, FxNode) or not isinstance(index, int):
        raise NotUnderstood("not an item of an operator's results")
    if source.target in _GIVES_TUPLE and source in known.native and index == 0:
        return known.values[source]
    if source.target not in _SPLITS:
        raise NotUnderstood("an item of results that torch computes")
    return item_of_parts(known, fx, source, index)


_GIVES_TUPLE = {aten._native_batch_norm_legit_no_training.default}
_SPLITS = {
    *(aten.chunk.default, aten.split.Tensor, aten.split_with_sizes.default),
    *(aten.tensor_split.sections, aten.tensor_split.indices, aten.unbind.int),
}
MAPS: dict[Any, Callable[[Lowering, FxNode], Made]] = {
    operator.getitem: _item,
    aten.max_pool2d.default: _pool,
    aten.avg_pool2d.default: _pool,
    aten.adaptive_avg_pool2d.default: _adaptive,
    aten.flatten.using_ints: _reshape,
    aten.view.default: _reshape,
    aten.reshape.default: _reshape,
    aten._unsafe_view.default: _reshape,
    aten.view_as.default: _reshape,
    aten.reshape_as.default: _reshape,
    aten.unflatten.int: _reshape,
    aten.unsqueeze.default: _reshape,
    aten.squeeze.dim: _reshape,
    aten.squeeze.dims: _reshape,
    aten.dropout.default: _dropout,
    aten.dropout_.default: _dropout,
    aten.feature_dropout.default: _dropout,
    aten.contiguous.default: _same,
    aten.to.dtype: _to,
    aten.clone.default: _same,
    aten.cat.default: _cat,
}
