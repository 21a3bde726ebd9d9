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
from openwork.engine.lower.rearrange import places_along
from openwork.runtime.node import Node
from openwork.runtime.nodes import Add, Affine, Arithmetic, Gate
from openwork.runtime.values import Alias, Value

aten = torch.ops.aten


def _add(known: Lowering, fx: FxNode) -> Node:
    record = binary(fx)
    if record.factor != 1:
        raise NotUnderstood("with a factor")
    x, channels = _and_constant(known, record)
    if channels is not None:
        return _affine(known, fx, x, np.ones_like(channels), channels)
    a, b = known.input(record.first), known.input(record.second)
    if a.shape != b.shape:
        raise NotUnderstood("of different shapes")
    return Add([a, b], known.output(fx))


def _mul(known: Lowering, fx: FxNode) -> Node:
    record = binary(fx)
    x, channels = _and_constant(known, record)
    if channels is not None:
        return _affine(known, fx, x, channels, np.zeros_like(channels))
    output = known.output(fx)
    first, second = record.first, record.second
    for one, other in ((first, second), (second, first)):
        maps, gates = known.input(one), known.input(_before_expanding(known, other))
        # Not the product of two gates that both broadcast: neither is as large as the product.
        if maps.shape == output.shape and (axes := _gated_axes(maps, gates)):
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


def _sum(known: Lowering, fx: FxNode) -> list[Node]:
    given = arguments(fx)
    dims, output = given["dim"], known.output(fx)
    if not dims or len(dims) != 1:
        raise NotUnderstood("over other axes than one")
    nodes, (total, *others) = places_along(known, given["self"], dims[0], fx.name, _MOST_SUMMED)
    for index, part in enumerate(others[:-1], start=1):
        nodes.append(Add([total, part], Value(part.shape, f"{fx.name}_to_{index}")))
        total = nodes[-1].output
    return [*nodes, Add([total, *others[-1:]], output)]


def _subtraction(sign: int) -> Callable[[Lowering, FxNode], Node]:
    """The first operand minus the second, times `sign`."""

    def handler(known: Lowering, fx: FxNode) -> Node:
        record = binary(fx)
        if record.factor != 1:
            raise NotUnderstood("with a factor")
        x, channels = _and_constant(known, record)
        if channels is None:
            sides = (record.first, record.second)[::sign]
            return _combined(known, fx, replace(record, first=sides[0], second=sides[1]))
        factor = -sign if _is_constant(known, record.first) else sign
        return _affine(known, fx, x, np.full_like(channels, factor), -factor * channels)

    return handler


def _div(known: Lowering, fx: FxNode) -> Node:
    record = binary(fx)
    x, channels = _and_constant(known, record)
    if channels is None:
        return _combined(known, fx, record, "quotient")
    if _is_constant(known, record.first):
        raise NotUnderstood("of a constant")
    if (np.abs(channels) < np.finfo(np.float32).tiny).any():
        raise NotUnderstood("by zero, or nearly")
    return _affine(known, fx, x, 1 / channels, np.zeros_like(channels))


def _combined(known: Lowering, fx: FxNode, record: Binary, operation: str = "difference") -> Node:
    a, b = known.input(record.first), known.input(record.second)
    if a.shape != b.shape:
        raise NotUnderstood("of different shapes")
    return Arithmetic([a, b], known.output(fx), operation)


def _affine(known: Lowering, fx: FxNode, x: Value, scale: np.ndarray, shift: np.ndarray) -> Node:
    output = known.output(fx)
    if output.shape != x.shape:
        raise NotUnderstood("a constant with more axes")
    return Affine([x], output, scale, shift)


def _before_expanding(known: Lowering, argument: Any) -> Any:
    """The gates before code expanded them to maps, as it often does though products broadcast."""
    if isinstance(argument, FxNode) and argument.target in _EXPANSIONS:
        source = operand(argument)
        if isinstance(source, FxNode) and source in known.values and source.meta["val"].dim() == 4:
            return source
    return argument


_EXPANSIONS = {aten.expand_as.default, aten.expand.default}


def _and_constant(known: Lowering, record: Binary) -> tuple[Value, np.ndarray | None]:
    """An activation, and one number for each of its channels if the other operand is constant."""
    first, second = record.first, record.second
    x, other = (second, first) if _is_constant(known, first) else (first, second)
    value = known.input(x)
    if isinstance(other, FxNode):
        if other.name not in known.constants:
            return value, None
        other = known.constants[other.name]
    numbers = array(other).astype(np.float64)
    wanted = (1, value.shape[0]) + (1,) * (len(value.shape) - 1)
    shape = (1,) * (len(wanted) - numbers.ndim) + numbers.shape
    if numbers.size != 1 and shape != wanted:
        raise NotUnderstood("a constant with another shape than one number for each channel")
    return value, np.broadcast_to(numbers.reshape(-1), value.shape[:1]).copy()


def _is_constant(known: Lowering, argument: Any) -> bool:
    return isinstance(argument, FxNode) and argument.name in known.constants


POINTWISE: dict[Any, Callable[[Lowering, FxNode], Node | list[Node]]] = {
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
}
