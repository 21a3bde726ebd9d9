"""Exported operators with weights: convolutions, linear layers, batch normalisation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.fx import Node

from openwork.capture.operators import NotUnderstood, arguments
from openwork.flow.context import AnalysisContext, concrete, shapes
from openwork.flow.op import Combine, Layouts, Op
from openwork.flow.weighted_sum import Fold, Placement, Weight, WeightedSum
from openwork.nn import SparseLayer
from openwork.ops.expand import expand

aten = torch.ops.aten
# Both ways in which torch exports one, with the number of arguments that matter.
_BATCH_NORMS: dict[Any, int] = {
    aten.batch_norm.default: 8,
    aten._native_batch_norm_legit_no_training.default: 7,
}


def _conv(ctx: AnalysisContext, node: Node) -> Op:
    x, weight, bias, _, padding, _, groups = arguments(node, None, None, None, 1, 0, 1, 1)
    keeps_constants = padding == "valid" or (
        not isinstance(padding, str) and not np.any(concrete(padding))
    )
    dense = _dense(ctx, weight)
    if dense.dim() != 4:
        raise NotUnderstood
    return _weighted_sum(ctx, node, x, weight, bias, dense, groups, keeps_constants)


def _conv_transpose(ctx: AnalysisContext, node: Node) -> Op:
    x, weight, bias, _, _, _, groups, _ = arguments(node, None, None, None, 1, 0, 0, 1, 1)
    dense = _dense(ctx, weight)
    if dense.dim() != 4:
        raise NotUnderstood
    inside, out, *kernel = dense.shape
    turned = dense.reshape(groups, inside // groups, out, *kernel).transpose(1, 2)
    turned = turned.reshape(groups * out, inside // groups, *kernel)
    return _weighted_sum(
        ctx, node, x, weight, bias, turned, groups, keeps_constants=False, transposed=True
    )


def _linear(ctx: AnalysisContext, node: Node) -> Op:
    x, weight, bias = arguments(node, None, None, None)
    return _weighted_sum(ctx, node, x, weight, bias, _dense(ctx, weight), 1, keeps_constants=True)


def _sparse_conv(ctx: AnalysisContext, node: Node) -> Op:
    x, weight, gaps, bias, shape, _, padding, _, groups = arguments(node)
    dense = _sparse(ctx, weight, gaps, shape)
    return _weighted_sum(
        ctx, node, x, weight, bias, dense, groups, keeps_constants=not np.any(concrete(padding))
    )


def _sparse_linear(ctx: AnalysisContext, node: Node) -> Op:
    x, weight, gaps, bias, shape = arguments(node)
    return _weighted_sum(
        ctx, node, x, weight, bias, _sparse(ctx, weight, gaps, shape), 1, keeps_constants=True
    )


def _weighted_sum(
    ctx: AnalysisContext,
    node: Node,
    x: Any,
    weight: Any,
    bias: Any,
    dense: torch.Tensor,
    groups: int,
    keeps_constants: bool,
    transposed: bool = False,
) -> WeightedSum:
    name = ctx.name(weight)
    linear = dense.dim() == 2
    axis = -1 if linear else 1
    layout = ctx.input(x)
    if len(layout.shape) != (len(shapes(node)[0])) or (not linear and len(layout.shape) != 4):
        raise NotUnderstood
    known = ctx.weights.get(name) or _weight(ctx, name, dense, groups, transposed)
    if known.groups != groups or known.transposed != transposed:
        raise NotUnderstood
    ctx.weights[name] = known
    constant = ctx.data(bias)
    given = np.zeros(len(known.out)) if constant is None else constant.double().numpy()
    if bias is not None:
        ctx.atoms.couple(known.out, ctx.input(bias).ids)
    fold, exclusive = _fold(ctx, node, name, bias)
    return WeightedSum(
        ctx.atoms,
        node,
        ctx.source(x),
        layout,
        known,
        given,
        Placement(axis % len(layout.shape), shapes(node)[0], keeps_constants, spatial=not linear),
        fold,
        exclusive and ctx.once(weight, bias),
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
    """What takes up a constant, and whether nothing else uses it."""
    if bias is not None:
        return Fold(ctx.name(bias), 1), True
    users = list(node.users)
    if len(users) == 1 and users[0].target in _BATCH_NORMS:
        mean = users[0].args[3]
        if users[0].args[0] is node and isinstance(mean, Node):
            return Fold(ctx.name(mean), -1), ctx.once(mean)
    owner, _, attribute = weight.rpartition(".")
    module = ctx.model.get_submodule(owner)
    can = attribute == "weight" and "bias" in module._parameters
    if can and isinstance(module, nn.modules.conv._ConvNd | nn.Linear | SparseLayer):
        return Fold(f"{owner}.bias" if owner else "bias", 1), True
    return None, True


def _dense(ctx: AnalysisContext, argument: Any) -> torch.Tensor:
    weight = ctx.data(argument)
    if weight is None:
        raise NotUnderstood
    return weight


def _sparse(ctx: AnalysisContext, weight: Any, gaps: Any, shape: Any) -> torch.Tensor:
    return expand(_dense(ctx, weight), _dense(ctx, gaps), tuple(shape))


def _batch_norm(ctx: AnalysisContext, node: Node) -> Op:
    x, weight, bias, mean, variance, *mode, _, eps = node.args[: _BATCH_NORMS[node.target]]
    if any(mode) or mean is None or variance is None:
        raise NotUnderstood
    given = [x, mean, variance, *[p for p in (weight, bias) if p is not None]]
    inputs = [ctx.input(argument) for argument in given]
    if len(inputs[0].shape) < 2:
        raise NotUnderstood

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        held = ctx.atoms.value[rows.T]
        input, mean_, variance_, *affine = held
        gamma = affine.pop(0) if weight is not None else 1.0
        beta = affine.pop(0) if bias is not None else 0.0
        scale = gamma / np.sqrt(variance_ + eps)
        simple = np.where(ctx.atoms.profile[rows[:, 0]] == 0, input, np.nan)
        return np.where(scale == 0, beta, (simple - mean_) * scale + beta), 0

    return Combine(ctx.atoms, node, ctx.sources(given), inputs, _by_channel, values)


def _instance_norm(ctx: AnalysisContext, node: Node) -> Op:
    """Without statistics of its own: a scale of zero leaves the shift, and so does a zero map."""
    x, weight, bias, mean, _, by_input, *_ = node.args
    if not by_input or mean is not None or weight is None or bias is None:
        raise NotUnderstood
    given = [x, weight, bias]
    inputs = [ctx.input(argument) for argument in given]

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        held, gamma, beta = ctx.atoms.value[rows.T]
        return np.where((gamma == 0) | (held == 0), beta, np.nan), 0

    return Combine(ctx.atoms, node, ctx.sources(given), inputs, _by_channel, values)


def _by_channel(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
    """A tensor with channels along its second axis, beside vectors of them."""
    shape = layouts[0].shape
    vectors = [part.ids.reshape(1, -1, *[1] * (len(shape) - 2)) for part in layouts[1:]]
    return shape, np.stack(np.broadcast_arrays(layouts[0].ids, *vectors), axis=-1)


WEIGHTS: dict[Any, Callable[[AnalysisContext, Node], Op]] = {
    aten.conv2d.default: _conv,
    aten.conv2d.padding: _conv,
    aten.conv_transpose2d.input: _conv_transpose,
    aten.linear.default: _linear,
    aten.instance_norm.default: _instance_norm,
    **dict.fromkeys(_BATCH_NORMS, _batch_norm),
    torch.ops.openwork.sparse_conv2d.default: _sparse_conv,
    torch.ops.openwork.sparse_linear.default: _sparse_linear,
}
