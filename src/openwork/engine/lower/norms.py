"""Exported operators that work along axes: layer and group norms, reductions, weighted sums."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.fx import Node as FxNode

from openwork.capture.operators import NotUnderstood, arguments, reduction
from openwork.engine.lower.context import Lowering
from openwork.engine.lower.in_memory import InMemory, Made, given_back, in_memory, in_order, through
from openwork.runtime.node import Node
from openwork.runtime.nodes import Affine, Dot, Mean, Normalize, Reduce
from openwork.runtime.values import Alias, Value

aten = torch.ops.aten

_Handler = Callable[[Lowering, FxNode], Made]


def _layer_norm(known: Lowering, fx: FxNode) -> Made:
    given = arguments(fx)
    axes = len(given["normalized_shape"])
    held = in_memory(known, given["input"])
    rank = len(held.order)
    if axes > rank:
        raise NotUnderstood("along the batch")
    along = held.order[rank - axes :]
    if along != tuple(range(along[0], along[0] + axes)):
        held = in_order(known, given["input"], tuple(range(rank)))
        along = held.order[rank - axes :]
    weight, bias = (_vector(known, given[name]) for name in ("weight", "bias"))
    shape = held.value.shape
    size, inner = math.prod(shape[a] for a in along), math.prod(shape[along[-1] + 1 :])

    def norm(output: Value) -> Node:
        return Normalize([held.value], output, size, inner, 1, float(given["eps"]), weight, bias)

    return through(known, fx, held, norm)


def _group_norm(known: Lowering, fx: FxNode) -> Made:
    given = arguments(fx)
    return _in_groups(known, fx, given["num_groups"])


def _instance_norm(known: Lowering, fx: FxNode) -> Made:
    given = arguments(fx)
    if not given["use_input_stats"]:
        raise NotUnderstood("with running statistics")
    return _in_groups(known, fx, known.input(given["input"]).shape[0])


def _in_groups(known: Lowering, fx: FxNode, groups: int) -> Node:
    given = arguments(fx)
    value, output = known.input(given["input"]), known.output(fx)
    weight, bias = (_vector(known, given[name]) for name in ("weight", "bias"))
    pixels = value.floats // value.shape[0]
    repeat = 1 if weight is None and bias is None else pixels
    size, eps = value.floats // groups, float(given["eps"])
    return Normalize([value], output, size, 1, repeat, eps, weight, bias)


def _vector(known: Lowering, argument: Any) -> np.ndarray | None:
    numbers = known.constant(argument)
    if numbers is not None and numbers.dtype != np.float32:
        raise NotUnderstood("weight not float32")
    return None if numbers is None else numbers.reshape(-1)


def _mean(known: Lowering, fx: FxNode) -> Made:
    return _reduced(known, fx, "mean")


def _variance(known: Lowering, fx: FxNode) -> Made:
    given = arguments(fx)
    less = given.get("correction", int(given.get("unbiased", True)))
    size = _Axes(known, fx).size
    less = 1 if less is None else less
    if size <= less:
        raise NotUnderstood("of too few numbers")
    return _reduced(known, fx, "variance", size / (size - less))


def summed(known: Lowering, fx: FxNode) -> Made:
    """The sum over axes that are one after another in memory."""
    return _reduced(known, fx, "sum")


def _vector_norm(known: Lowering, fx: FxNode) -> Made:
    if arguments(fx)["ord"] != 2:
        raise NotUnderstood("of another order than 2")
    return _reduced(known, fx, "norm")


class _Axes:
    """The axes that a reduction is over, one after another in memory.

    Attributes:
        held: what is reduced.
        size, inner: numbers along the axes, and floats from one to the next.
        shape: of what is left, with axes of one place, in the order of `held.value`.
        order: axis of `shape` for each axis of what the reduction gives.
    """

    def __init__(self, known: Lowering, fx: FxNode) -> None:
        record = reduction(fx)
        self.held: InMemory = in_memory(known, record.input)
        rank = len(self.held.order)
        first, *_ = axes = record.axes_of(rank + 1)
        if first == 0:
            raise NotUnderstood("over the batch")
        along = sorted(self.held.order[axis - 1] for axis in axes)
        shape = self.held.value.shape
        between = [a for a in range(along[0], along[-1]) if a not in along and shape[a] > 1]
        if between:
            raise NotUnderstood("over axes that are apart")
        self.size = math.prod(shape[axis] for axis in along)
        self.inner = math.prod(shape[along[-1] + 1 :])
        self.shape = tuple(1 if axis in along else size for axis, size in enumerate(shape))
        gone = set() if record.keep else {axis - 1 for axis in axes}
        self.order = [at for axis, at in enumerate(self.held.order) if axis not in gone]


def _reduced(known: Lowering, fx: FxNode, kind: str, factor: float = 1.0) -> Made:
    axes = _Axes(known, fx)
    output, value = known.output(fx), axes.held.value
    made = output if axes.held.is_plain else Value(axes.shape, output.name)
    rows = value.floats // axes.size
    nodes = [*axes.held.nodes]
    if kind == "mean" and axes.inner == 1:
        are_maps = len(value.shape) == 3 and value.shape[0] == rows
        nodes.append(Mean([value if are_maps else Alias(value, (rows, 1, axes.size))], made))
    else:
        nodes.append(Reduce([value], made, kind, axes.size, axes.inner))
    if factor != 1:
        nodes[-1].output = before = Value(made.shape, made.name)
        channels = made.shape[0]
        nodes.append(Affine([before], made, np.full(channels, factor), np.zeros(channels)))
    return nodes if made is output else given_back(known, fx, nodes, axes.order)


def _matmul(known: Lowering, fx: FxNode) -> Made:
    """Rows times a vector; other products are left to torch."""
    sides = list(arguments(fx).values())
    if any(isinstance(side, FxNode) and side.name in known.constants for side in sides):
        raise NotUnderstood("with a constant")
    (a, b), output = map(known.input, sides), known.output(fx)
    *lead, size, columns = b.shape if len(b.shape) > 1 else (0, 0)
    alike = len(a.shape) == len(b.shape) and math.prod(a.shape[:-2]) == 1
    if columns != 1 or size != a.shape[-1] or math.prod(lead) != 1 or not alike:
        raise NotUnderstood("not of rows and one vector")
    return Dot([a, b], output)


NORMS: dict[Any, _Handler] = {
    aten.layer_norm.default: _layer_norm,
    aten.group_norm.default: _group_norm,
    aten.instance_norm.default: _instance_norm,
}
REDUCTIONS: dict[Any, _Handler] = {
    aten.mean.dim: _mean,
    aten.var.dim: _variance,
    aten.var.correction: _variance,
    aten.linalg_vector_norm.default: _vector_norm,
    aten.matmul.default: _matmul,
    aten.bmm.default: _matmul,
}
