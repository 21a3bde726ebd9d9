"""Exported operators with weights: convolutions, linear layers, batch normalisation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.fx import Node

from openwork.capture.nodes import arguments
from openwork.flow.context import Unknown, Walk, concrete, shapes
from openwork.flow.op import Join, Layouts, Step
from openwork.flow.weighted_sum import Fold, Geometry, Mix, Weight
from openwork.nn import SparseLayer
from openwork.ops.expand import expand

aten = torch.ops.aten
# Both ways in which torch exports one, with the number of arguments that matter.
_BATCH_NORMS: dict[Any, int] = {
    aten.batch_norm.default: 8,
    aten._native_batch_norm_legit_no_training.default: 7,
}


def _conv(walk: Walk, node: Node) -> Step:
    x, weight, bias, _, padding, _, groups = arguments(node, None, None, None, 1, 0, 1, 1)
    flat = padding == "valid" or (not isinstance(padding, str) and not np.any(concrete(padding)))
    dense = _dense(walk, weight)
    if dense.dim() != 4:
        raise Unknown
    return _mix(walk, node, x, weight, bias, dense, groups, flat)


def _conv_transpose(walk: Walk, node: Node) -> Step:
    x, weight, bias, _, _, _, groups, _ = arguments(node, None, None, None, 1, 0, 0, 1, 1)
    dense = _dense(walk, weight)
    if dense.dim() != 4:
        raise Unknown
    inside, out, *kernel = dense.shape
    turned = dense.reshape(groups, inside // groups, out, *kernel).transpose(1, 2)
    turned = turned.reshape(groups * out, inside // groups, *kernel)
    return _mix(walk, node, x, weight, bias, turned, groups, flat=False, transposed=True)


def _linear(walk: Walk, node: Node) -> Step:
    x, weight, bias = arguments(node, None, None, None)
    return _mix(walk, node, x, weight, bias, _dense(walk, weight), 1, flat=True)


def _sparse_conv(walk: Walk, node: Node) -> Step:
    x, weight, gaps, bias, shape, _, padding, _, groups = arguments(node)
    dense = _sparse(walk, weight, gaps, shape)
    return _mix(walk, node, x, weight, bias, dense, groups, flat=not np.any(concrete(padding)))


def _sparse_linear(walk: Walk, node: Node) -> Step:
    x, weight, gaps, bias, shape = arguments(node)
    return _mix(walk, node, x, weight, bias, _sparse(walk, weight, gaps, shape), 1, flat=True)


def _mix(
    walk: Walk,
    node: Node,
    x: Any,
    weight: Any,
    bias: Any,
    dense: torch.Tensor,
    groups: int,
    flat: bool,
    transposed: bool = False,
) -> Mix:
    name = walk.name(weight)
    linear = dense.dim() == 2
    axis = -1 if linear else 1
    layout = walk.input(x)
    if len(layout.shape) != (len(shapes(node)[0])) or (not linear and len(layout.shape) != 4):
        raise Unknown
    known = walk.weights.get(name) or _weight(walk, name, dense, groups, transposed)
    if known.groups != groups or known.transposed != transposed:
        raise Unknown
    walk.weights[name] = known
    constant = walk.data(bias)
    given = np.zeros(len(known.out)) if constant is None else constant.double().numpy()
    if bias is not None:
        walk.atoms.tie(known.out, walk.input(bias).ids)
    fold, steady = _fold(walk, node, name, bias)
    return Mix(
        walk.atoms,
        node,
        walk.source(x),
        layout,
        known,
        given,
        Geometry(axis % len(layout.shape), shapes(node)[0], flat, spatial=not linear),
        fold,
        steady and walk.once(weight, bias),
    )


def _weight(walk: Walk, name: str, dense: torch.Tensor, groups: int, transposed: bool) -> Weight:
    """The weight `name`, as (out, in / groups, ...), with atoms for its axes."""
    taps = dense.reshape(groups, dense.shape[0] // groups, dense.shape[1], -1)
    weight = Weight(
        name,
        walk.atoms.new(np.full(dense.shape[0], np.nan)),
        walk.atoms.new(np.full(dense.shape[1] * groups, np.nan)),
        groups,
        (taps != 0).any(3).numpy(),
        taps.sum(3, dtype=torch.float64).numpy() if taps.shape[3] > 1 else taps[..., 0].numpy(),
        transposed,
    )
    if weight.depthwise:
        out, inside = weight.by_group()
        walk.atoms.tie(out, inside)
    return weight


def _fold(walk: Walk, node: Node, weight: str, bias: Any) -> tuple[Fold | None, bool]:
    """What takes up a constant, and whether nothing else uses it."""
    if bias is not None:
        return Fold(walk.name(bias), 1), True
    users = list(node.users)
    if len(users) == 1 and users[0].target in _BATCH_NORMS:
        mean = users[0].args[3]
        if users[0].args[0] is node and isinstance(mean, Node):
            return Fold(walk.name(mean), -1), walk.once(mean)
    owner, _, attribute = weight.rpartition(".")
    module = walk.model.get_submodule(owner)
    can = attribute == "weight" and "bias" in module._parameters
    if can and isinstance(module, nn.modules.conv._ConvNd | nn.Linear | SparseLayer):
        return Fold(f"{owner}.bias" if owner else "bias", 1), True
    return None, True


def _dense(walk: Walk, argument: Any) -> torch.Tensor:
    weight = walk.data(argument)
    if weight is None:
        raise Unknown
    return weight


def _sparse(walk: Walk, weight: Any, gaps: Any, shape: Any) -> torch.Tensor:
    return expand(_dense(walk, weight), _dense(walk, gaps), tuple(shape))


def _batch_norm(walk: Walk, node: Node) -> Step:
    x, weight, bias, mean, variance, *mode, _, eps = node.args[: _BATCH_NORMS[node.target]]
    if any(mode) or mean is None or variance is None:
        raise Unknown
    given = [x, mean, variance, *[p for p in (weight, bias) if p is not None]]
    inputs = [walk.input(argument) for argument in given]
    if len(inputs[0].shape) < 2:
        raise Unknown

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        held = walk.atoms.value[rows.T]
        input, middle, spread, *affine = held
        gamma = affine.pop(0) if weight is not None else 1.0
        beta = affine.pop(0) if bias is not None else 0.0
        scale = gamma / np.sqrt(spread + eps)
        simple = np.where(walk.atoms.map[rows[:, 0]] == 0, input, np.nan)
        return np.where(scale == 0, beta, (simple - middle) * scale + beta), 0

    return Join(walk.atoms, node, walk.sources(given), inputs, _by_channel, values)


def _instance_norm(walk: Walk, node: Node) -> Step:
    """Without statistics of its own: a scale of zero leaves the shift, and so does a zero map."""
    x, weight, bias, mean, _, by_input, *_ = node.args
    if not by_input or mean is not None or weight is None or bias is None:
        raise Unknown
    given = [x, weight, bias]
    inputs = [walk.input(argument) for argument in given]

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        held, gamma, beta = walk.atoms.value[rows.T]
        return np.where((gamma == 0) | (held == 0), beta, np.nan), 0

    return Join(walk.atoms, node, walk.sources(given), inputs, _by_channel, values)


def _by_channel(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
    """A tensor with channels along its second axis, beside vectors of them."""
    shape = layouts[0].shape
    vectors = [part.ids.reshape(1, -1, *[1] * (len(shape) - 2)) for part in layouts[1:]]
    return shape, np.stack(np.broadcast_arrays(layouts[0].ids, *vectors), axis=-1)


LAYERS: dict[Any, Callable[[Walk, Node], Step]] = {
    aten.conv2d.default: _conv,
    aten.conv2d.padding: _conv,
    aten.conv_transpose2d.input: _conv_transpose,
    aten.linear.default: _linear,
    aten.instance_norm.default: _instance_norm,
    **dict.fromkeys(_BATCH_NORMS, _batch_norm),
    torch.ops.openwork.sparse_conv2d.default: _sparse_conv,
    torch.ops.openwork.sparse_linear.default: _sparse_linear,
}
