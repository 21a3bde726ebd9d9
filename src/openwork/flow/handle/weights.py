"""Exported operators with weights: convolutions, linear layers, batch normalisation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.fx import Node

from openwork.capture.operators import (
    Convolution,
    Linear,
    NotUnderstood,
    arguments,
    batch_norm,
    convolution,
    linear,
)
from openwork.flow.context import AnalysisContext, concrete, shapes
from openwork.flow.op import Combine, Layouts, Op
from openwork.flow.weighted_sum import Fold, Placement, Weight, WeightedSum
from openwork.nn import SparseLayer
from openwork.ops.expand import expand

__all__ = ["WEIGHTS"]

aten = torch.ops.aten
_BATCH_NORMS = (aten.batch_norm.default, aten._native_batch_norm_legit_no_training.default)


def _convolution(ctx: AnalysisContext, node: Node) -> Op:
    record = convolution(node)
    dense = _dense(ctx, record)
    if len(ctx.input(record.input).shape) != dense.dim():
        raise NotUnderstood("an input without a batch axis")
    padded = record.padding == "same" or np.any(concrete(record.padding))
    if record.transposed:
        inside, out, *kernel = dense.shape
        groups = record.groups
        dense = dense.reshape(groups, inside // groups, out, *kernel).transpose(1, 2)
        dense = dense.reshape(groups * out, inside // groups, *kernel)
    return _weighted_sum(ctx, node, record, dense, not padded and not record.transposed)


def _linear(ctx: AnalysisContext, node: Node) -> Op:
    record = linear(node)
    return _weighted_sum(ctx, node, record, _dense(ctx, record), keeps_constants=True)


def _weighted_sum(
    ctx: AnalysisContext,
    node: Node,
    record: Convolution | Linear,
    dense: torch.Tensor,
    keeps_constants: bool,
) -> WeightedSum:
    """The op of a layer whose weight is `dense`, (out_channels, in_channels / groups, ...)."""
    spatial = isinstance(record, Convolution)
    groups, transposed = (record.groups, record.transposed) if spatial else (1, False)
    name = ctx.parameter_name(record.weight)
    layout = ctx.input(record.input)
    shape = shapes(node)[0]
    if len(layout.shape) != len(shape):
        raise NotUnderstood("an input without a batch axis")
    weight = ctx.weights.get(name) or _weight(ctx, name, dense, groups, transposed)
    if weight.groups != groups or weight.transposed != transposed:
        raise NotUnderstood("a weight that two layers read in different ways")
    ctx.weights[name] = weight
    bias = ctx.tensor(record.bias)
    if bias is not None:
        ctx.atoms.couple(weight.out, ctx.input(record.bias).ids)
    fold, exclusive = _fold(ctx, node, name, record.bias)
    return WeightedSum(
        ctx.atoms,
        node,
        ctx.source(record.input),
        layout,
        weight,
        np.zeros(len(weight.out)) if bias is None else bias.double().numpy(),
        Placement(1 if spatial else len(shape) - 1, shape, keeps_constants, spatial),
        fold,
        exclusive and ctx.used_once(record.weight, record.bias),
    )


def _weight(
    ctx: AnalysisContext, name: str, dense: torch.Tensor, groups: int, transposed: bool
) -> Weight:
    """The weight `name`, as (out, in / groups, ...), with atoms for its axes."""
    taps = dense.reshape(groups, dense.shape[0] // groups, dense.shape[1], -1)
    weight = Weight(
        name,
        ctx.atoms.new(np.full(dense.shape[0], np.nan)),
        ctx.atoms.new(np.full(dense.shape[1] * groups, np.nan)),
        groups,
        (taps != 0).any(3).numpy(),
        taps.sum(3, dtype=torch.float64).numpy() if taps.shape[3] > 1 else taps[..., 0].numpy(),
        transposed,
    )
    if weight.depthwise:
        out, inside = weight.by_group()
        ctx.atoms.couple(out, inside)
    return weight


def _fold(ctx: AnalysisContext, node: Node, weight: str, bias: Any) -> tuple[Fold | None, bool]:
    """Where constants of removed inputs are added, and whether nothing else uses that tensor."""
    if bias is not None:
        return Fold(ctx.parameter_name(bias), 1), True
    readers = list(node.users)
    if len(readers) == 1 and readers[0].target in _BATCH_NORMS:
        norm = batch_norm(readers[0])
        if norm.input is node and isinstance(norm.mean, Node):
            return Fold(ctx.parameter_name(norm.mean), -1), ctx.used_once(norm.mean)
    owner, _, attribute = weight.rpartition(".")
    module = ctx.model.get_submodule(owner)
    may_have_bias = attribute == "weight" and "bias" in module._parameters
    if may_have_bias and isinstance(module, nn.modules.conv._ConvNd | nn.Linear | SparseLayer):
        return Fold(f"{owner}.bias" if owner else "bias", 1), True
    return None, True


def _dense(ctx: AnalysisContext, record: Convolution | Linear) -> torch.Tensor:
    """The weight of a layer, with its zeros."""
    weight, gaps = ctx.tensor(record.weight), ctx.tensor(record.gaps)
    if weight is None:
        raise NotUnderstood("no weight")
    if gaps is None or record.shape is None:
        return weight
    return expand(weight, gaps, record.shape)


def _batch_norm(ctx: AnalysisContext, node: Node) -> Op:
    norm = batch_norm(node)
    if norm.training or norm.mean is None or norm.variance is None:
        raise NotUnderstood("statistics of the batch")
    affine = [vector for vector in (norm.weight, norm.bias) if vector is not None]
    operands = [norm.input, norm.mean, norm.variance, *affine]
    inputs = [ctx.input(argument) for argument in operands]
    if len(inputs[0].shape) < 2:
        raise NotUnderstood("no axis of channels")

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        x, mean, variance, *affine = ctx.atoms.value[rows.T]
        gamma = affine.pop(0) if norm.weight is not None else 1.0
        beta = affine.pop(0) if norm.bias is not None else 0.0
        scale = gamma / np.sqrt(variance + norm.eps)
        uniform = np.where(ctx.atoms.profile[rows[:, 0]] == 0, x, np.nan)
        return np.where(scale == 0, beta, (uniform - mean) * scale + beta), 0

    return Combine(ctx.atoms, node, ctx.sources(operands), inputs, _by_channel, values)


def _instance_norm(ctx: AnalysisContext, node: Node) -> Op:
    """Each image's own statistics: a scale of zero, or a channel of zeros, gives the bias.

    With running statistics it computes what a batch normalisation does.
    """
    given = arguments(node)
    if not given["use_input_stats"]:
        return _batch_norm(ctx, node)
    x, weight, bias = given["input"], given["weight"], given["bias"]
    if given["running_mean"] is not None or weight is None or bias is None:
        raise NotUnderstood("running statistics that change, or no scale and bias")
    operands = [x, weight, bias]
    inputs = [ctx.input(argument) for argument in operands]

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        x, gamma, beta = ctx.atoms.value[rows.T]
        return np.where((gamma == 0) | (x == 0), beta, np.nan), 0

    return Combine(ctx.atoms, node, ctx.sources(operands), inputs, _by_channel, values)


def _group_norm(ctx: AnalysisContext, node: Node) -> Op:
    """Statistics of a group's channels, which are therefore removed together."""
    given = arguments(node)
    x, weight, bias = given["input"], given["weight"], given["bias"]
    if weight is None or bias is None:
        raise NotUnderstood("no scale and bias")
    operands = [x, weight, bias]
    inputs = [ctx.input(argument) for argument in operands]
    width = inputs[0].shape[1] // int(concrete(given["num_groups"]))
    if inputs[0].along(1) is None:
        raise NotUnderstood("channels that are not feature maps")

    def align(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
        shape = layouts[0].shape
        channels = layouts[0].along(1)
        if channels is None:
            raise ValueError("channels that are not feature maps")
        groups = np.repeat(channels.reshape(-1, width), width, axis=0)
        own = [channels, *(part.ids.reshape(-1) for part in layouts[1:])]
        made_of = np.concatenate([np.stack(np.broadcast_arrays(*own), -1), groups], axis=-1)
        return shape, made_of.reshape(1, shape[1], *[1] * (len(shape) - 2), 3 + width)

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        value = np.where(ctx.atoms.profile[rows] == 0, ctx.atoms.value[rows], np.nan)
        own, gamma, beta = value[:, :3].T
        group = value[:, 3:]
        scale = gamma / np.sqrt(group.var(1) + given["eps"])
        return np.where(gamma == 0, beta, (own - group.mean(1)) * scale + beta), 0

    return Combine(ctx.atoms, node, ctx.sources(operands), inputs, align, values)


def _by_channel(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
    """Aligns a tensor (batch, channels, ...) with vectors (channels,)."""
    shape = layouts[0].shape
    vectors = [part.ids.reshape(1, -1, *[1] * (len(shape) - 2)) for part in layouts[1:]]
    return shape, np.stack(np.broadcast_arrays(layouts[0].ids, *vectors), axis=-1)


WEIGHTS: dict[Any, Callable[[AnalysisContext, Node], Op]] = {
    aten._native_batch_norm_legit_no_training.default: _batch_norm,
    aten.batch_norm.default: _batch_norm,
    aten.conv1d.default: _convolution,
    aten.conv1d.padding: _convolution,
    aten.conv2d.default: _convolution,
    aten.conv2d.padding: _convolution,
    aten.conv3d.default: _convolution,
    aten.conv3d.padding: _convolution,
    aten.conv_transpose1d.default: _convolution,
    aten.conv_transpose2d.input: _convolution,
    aten.conv_transpose3d.input: _convolution,
    aten.group_norm.default: _group_norm,
    aten.instance_norm.default: _instance_norm,
    aten.linear.default: _linear,
    torch.ops.openwork.sparse_conv2d.default: _convolution,
    torch.ops.openwork.sparse_linear.default: _linear,
}
