"""Exported sums, differences, products and quotients, of activations and of constants."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.fx import Node as FxNode

from openwork.capture.operators import Binary, NotUnderstood, arguments, binary, operand
from openwork.engine.lower.context import Lowering, array
from openwork.engine.lower.in_memory import (
    InMemory,
    Made,
    axis_first,
    in_memory,
    in_order,
    through,
)
from openwork.engine.lower.norms import summed
from openwork.engine.lower.places import Places
from openwork.engine.lower.rearrange import cut, places_along, places_of
from openwork.runtime.node import Node
from openwork.runtime.nodes import Add, Affine, Arithmetic, Gate, Spread
from openwork.runtime.values import Alias, Value

aten = torch.ops.aten


def _add(known: Lowering, fx: FxNode) -> Made:
    record = binary(fx)
    if record.factor != 1:
        raise NotUnderstood("with a factor")
    held, channels = _and_constant(known, record)
    if channels is not None:
        return _affine(known, fx, held, np.ones_like(channels), channels)
    return _combined(known, fx, record, "sum")


def _mul(known: Lowering, fx: FxNode) -> Made:
    record = binary(fx)
    held, channels = _and_constant(known, record)
    if channels is not None:
        return _affine(known, fx, held, channels, np.zeros_like(channels))
    output = known.output(fx)
    first, second = record.first, record.second
    for one, other in ((first, second), (second, first)):
        maps, gates = known.input(one), known.input(_before_expanding(known, other))
        # Not the product of two gates that both broadcast: neither is as large as the product.
        whole = maps.shape == output.shape and in_memory(known, one).is_plain
        if whole and (axes := _gated_axes(maps, gates)):
            if axes > 1:
                flat = math.prod(maps.shape[:axes])
                maps = Alias(maps, (flat, *maps.shape[axes:]))
                gates = Alias(gates, (flat, *gates.shape[axes:]))
            return Gate([maps, gates], output)
    return _combined(known, fx, record, "product")


def _gated_axes(maps: Value, gates: Value) -> int:
    """How many axes in front `gates` share with `maps`, if they are one number along the others."""
    axes = len(gates.shape)
    while axes > 1 and gates.shape[axes - 1] == 1:
        axes -= 1
    alike = len(gates.shape) == len(maps.shape) and gates.shape[:axes] == maps.shape[:axes]
    return axes if alike and axes < len(maps.shape) else 0


# Of the places along an axis, those whose sum is worth a step for each.
_MOST_SUMMED = 16


def _sum(known: Lowering, fx: FxNode) -> Made:
    given = arguments(fx)
    dims, output, value = given["dim"], known.output(fx), known.input(given["self"])
    axis = dims[0] % (len(value.shape) + 1) - 1 if dims and len(dims) == 1 else -1
    if axis < 0 or value.shape[axis] > _MOST_SUMMED:
        return summed(known, fx)
    nodes, (total, *others) = places_along(known, given["self"], dims[0], fx.name)
    for index, part in enumerate(others[:-1], start=1):
        nodes.append(Add([total, part], Value(part.shape, f"{fx.name}_to_{index}")))
        total = nodes[-1].output
    return [*nodes, Add([total, *others[-1:]], output)]


def _subtraction(sign: int) -> Callable[[Lowering, FxNode], Made]:
    """The first operand minus the second, times `sign`."""

    def handler(known: Lowering, fx: FxNode) -> Made:
        record = binary(fx)
        if record.factor != 1:
            raise NotUnderstood("with a factor")
        held, channels = _and_constant(known, record)
        if channels is None:
            first, second = (record.first, record.second)[::sign]
            return _combined(known, fx, replace(record, first=first, second=second), "difference")
        factor = -sign if _is_constant(known, record.first) else sign
        return _affine(known, fx, held, np.full_like(channels, factor), -factor * channels)

    return handler


def _div(known: Lowering, fx: FxNode) -> Made:
    record = binary(fx)
    held, channels = _and_constant(known, record)
    if channels is None:
        return _combined(known, fx, record, "quotient")
    if _is_constant(known, record.first):
        raise NotUnderstood("of a constant")
    if (np.abs(channels) < np.finfo(np.float32).tiny).any():
        raise NotUnderstood("by zero, or nearly")
    return _affine(known, fx, held, 1 / channels, np.zeros_like(channels))


def _addcmul(known: Lowering, fx: FxNode) -> Made:
    """A constant, plus a tensor times another constant."""
    given = arguments(fx)
    record = Binary(given["tensor1"], given["tensor2"], 1)
    if not _is_constant(known, given["self"]):
        raise NotUnderstood("added to what is not constant")
    held, factors = _and_constant(known, record)
    if factors is None:
        raise NotUnderstood("of two tensors")
    varying = record.second if _is_constant(known, record.first) else record.first
    beside, added = _and_constant(known, Binary(varying, given["self"], 1))
    if added is None or beside.order != held.order:
        raise NotUnderstood("along other axes")
    return _affine(known, fx, held, given["value"] * factors, added)


def _combined(known: Lowering, fx: FxNode, record: Binary, operation: str) -> Made:
    """An operation on two tensors, one of which may be smaller."""
    output = known.output(fx)
    first, second = known.input(record.first), known.input(record.second)
    if len(first.shape) != len(second.shape):
        raise NotUnderstood("of different shapes")
    turned = first.shape != output.shape and operation in ("sum", "product")
    large, small = (record.first, record.second)[:: -1 if turned else 1]
    held = in_memory(known, large)
    if held.shape != output.shape:
        stretched, value = cut(known, f"{output.name}_stretched", _stretched(known, large, output))
        held = InMemory(value, tuple(range(len(output.shape))), stretched)
    other = in_order(known, small, held.order)
    inner = _repeated(held.value.shape, other.value.shape)
    nodes, b = [*other.nodes], other.value
    if inner is None:
        places = Places.of(b).stretched(held.value.shape)
        stretched, b = cut(known, f"{output.name}_stretched", places)
        nodes += stretched

    def combined(result: Value) -> Node:
        if inner:
            return Spread([held.value, b], result, operation, inner)
        if operation == "sum":
            return Add([held.value, b], result)
        return Arithmetic([held.value, b], result, operation)

    return through(known, fx, replace(held, nodes=[*held.nodes, *nodes]), combined)


def _stretched(known: Lowering, argument: Any, output: Value) -> Places:
    return places_of(known, argument).stretched(output.shape)


def _repeated(large: tuple[int, ...], small: tuple[int, ...]) -> int | None:
    """Numbers of a small operand that are repeated together, in a row.

    0 if the operands are as large as each other; None if there is no such row.
    """
    axes = [axis for axis, size in enumerate(small) if size != large[axis]]
    if not axes:
        return 0
    first, last = axes[0], axes[-1]
    apart = any(small[axis] > 1 for axis in range(first, last))
    return None if apart else math.prod(small[last + 1 :])


def _affine(
    known: Lowering, fx: FxNode, held: InMemory, scale: np.ndarray, shift: np.ndarray
) -> Made:
    if known.output(fx).shape != held.shape:
        raise NotUnderstood("a constant with more axes")
    return through(known, fx, held, lambda output: Affine([held.value], output, scale, shift))


def _before_expanding(known: Lowering, argument: Any) -> Any:
    """The gates before code expanded them to maps, as it often does though products broadcast."""
    if isinstance(argument, FxNode) and argument.target in _EXPANSIONS:
        source = operand(argument)
        if isinstance(source, FxNode) and source in known.values and source.meta["val"].dim() == 4:
            return source
    return argument


_EXPANSIONS = {aten.expand_as.default, aten.expand.default}


def _and_constant(known: Lowering, record: Binary) -> tuple[InMemory, np.ndarray | None]:
    """An activation, and a number for each place of its first axis if the other is constant."""
    first, second = record.first, record.second
    x, other = (second, first) if _is_constant(known, first) else (first, second)
    value = known.input(x)
    if isinstance(other, FxNode):
        if other.name not in known.constants:
            return in_memory(known, x), None
        other = known.constants[other.name]
    numbers = array(other).astype(np.float64)
    if numbers.size == 1:
        held = in_memory(known, x)
        return held, np.full(held.value.shape[0], numbers.reshape(-1)[0])
    rank = len(value.shape)
    axes = [axis for axis, size in enumerate(numbers.shape, rank - numbers.ndim) if size > 1]
    if len(axes) > 1 or axes[0] < 0 or numbers.size != value.shape[axes[0]]:
        raise NotUnderstood("a constant with another shape than one number for each channel")
    return axis_first(known, x, axes[0]), numbers.reshape(-1)


def _is_constant(known: Lowering, argument: Any) -> bool:
    return isinstance(argument, FxNode) and argument.name in known.constants


POINTWISE: dict[Any, Callable[[Lowering, FxNode], Made]] = {
    aten.add.Tensor: _add,
    aten.add_.Tensor: _add,
    aten.mul.Tensor: _mul,
    aten.mul_.Tensor: _mul,
    aten.sum.dim_IntList: _sum,
    aten.sub.Tensor: _subtraction(1),
    aten.sub_.Tensor: _subtraction(1),
    aten.rsub.Scalar: _subtraction(-1),
    aten.rsub.Tensor: _subtraction(-1),
    aten.div.Tensor: _div,
    aten.div_.Tensor: _div,
    aten.addcmul.default: _addcmul,
}
