"""Exported functions of each number alone as rows of one table, and softmax."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import torch
from torch.fx import Node as FxNode

from openwork.capture.operators import NotUnderstood, arguments, operand
from openwork.engine.lower.context import Lowering
from openwork.engine.lower.in_memory import Made, in_memory, number_by_number, through
from openwork.kernels.problem import Activation
from openwork.runtime.node import Node
from openwork.runtime.nodes import Add, Affine, Arithmetic, PointFunction, PRelu, Softmax
from openwork.runtime.values import Value

aten = torch.ops.aten

_Given = Mapping[str, Any]
_Handler = Callable[[Lowering, FxNode], Made]


def activation(name: Activation) -> _Handler:
    """The handler of a function that convolutions can end in."""

    def handler(known: Lowering, fx: FxNode) -> Made:
        return number_by_number(known, fx, operand(fx), lambda x, y: Add([x], y, name))

    return handler


def _function(name: str, numbers: Callable[[_Given], tuple[float, ...]] | None = None) -> _Handler:
    """The handler of a `PointFunction`, whose parameters `numbers` takes from the arguments."""

    def handler(known: Lowering, fx: FxNode) -> Made:
        given = tuple(map(float, numbers(arguments(fx)))) if numbers else ()
        return _point(known, fx, name, given)

    return handler


def _point(known: Lowering, fx: FxNode, name: str, numbers: tuple[float, ...] = ()) -> Made:
    return number_by_number(
        known, fx, operand(fx), lambda x, y: PointFunction([x], y, name, numbers)
    )


def _clamp(least: str, most: str) -> _Handler:
    """Numbers between two bounds; 0 and 6 or 0 and none are activations."""

    def handler(known: Lowering, fx: FxNode) -> Made:
        given = arguments(fx)
        bounds = given.get(least), given.get(most)
        if not all(bound is None or isinstance(bound, int | float) for bound in bounds):
            raise NotUnderstood("with bounds that are tensors")
        if bounds in ((0, 6), (0, None)):
            return activation("relu6" if bounds[1] else "relu")(known, fx)
        low, high = (
            float(end if bound is None else bound)
            for bound, end in zip(bounds, (-np.inf, np.inf), strict=True)
        )
        return _point(known, fx, "clamp", (low, high))

    return handler


def _gelu(known: Lowering, fx: FxNode) -> Made:
    name = {"none": "gelu", "tanh": "gelu_tanh"}[arguments(fx)["approximate"]]
    return _point(known, fx, name)


def _power(known: Lowering, fx: FxNode) -> Made:
    given = arguments(fx)
    if given["exponent"] == 3:
        return _cube(known, fx)
    name = _POWERS.get(given["exponent"])
    if name is None:
        raise NotUnderstood(f"with the exponent {given['exponent']}")
    return _point(known, fx, name)


def _cube(known: Lowering, fx: FxNode) -> Made:
    held = in_memory(known, operand(fx))
    square = Value(held.value.shape, f"{fx.name}_square")
    nodes = [*held.nodes, PointFunction([held.value], square, "square")]

    def product(output: Value) -> Node:
        return Arithmetic([square, held.value], output, "product")

    return through(known, fx, replace(held, nodes=nodes), product)


_POWERS = {2: "square", 0.5: "sqrt", -1: "reciprocal"}


def _negative(known: Lowering, fx: FxNode) -> Made:
    def negative(x: Value, y: Value) -> Node:
        return Affine([x], y, np.full(x.shape[0], -1.0), np.zeros(x.shape[0]))

    return number_by_number(known, fx, operand(fx), negative)


def _leaky_relu(known: Lowering, fx: FxNode) -> Made:
    slope = arguments(fx)["negative_slope"]

    def leaky(x: Value, y: Value) -> Node:
        return PRelu([x], y, np.full(x.shape[0], slope, np.float32))

    return number_by_number(known, fx, operand(fx), leaky)


def _prelu(known: Lowering, fx: FxNode) -> Node:
    given = arguments(fx)
    value, slope = known.input(given["self"]), known.constant(given["weight"])
    if slope is None or slope.dtype != np.float32:
        raise NotUnderstood("slopes not float32")
    channels = np.broadcast_to(slope.reshape(-1), value.shape[:1]).copy()
    return PRelu([value], known.output(fx), channels)


def _softmax(log: bool) -> _Handler:
    def handler(known: Lowering, fx: FxNode) -> Made:
        given = arguments(fx)
        held = in_memory(known, given["self"])
        axis = given["dim"] % (len(held.order) + 1) - 1
        if axis < 0:
            raise NotUnderstood("along the batch")
        along = held.order[axis]
        return through(known, fx, held, lambda y: Softmax([held.value], y, along, log))

    return handler


_SELU = (1.6732632423543772 * 1.0507009873554805, 1.0507009873554805, 1.0)

# An in-place form, if torch has one, has the same row.
_ROWS: dict[str, _Handler] = {
    "leaky_relu": _leaky_relu,
    "gelu": _gelu,
    "elu": _function(
        "elu", lambda given: (given["alpha"] * given["scale"], given["scale"], given["input_scale"])
    ),
    "selu": _function("elu", lambda given: _SELU),
    "celu": _function("elu", lambda given: (given["alpha"], 1.0, 1.0 / given["alpha"])),
    "mish": _function("mish"),
    "softplus": _function("softplus", lambda given: (given["beta"], given["threshold"])),
    "log_sigmoid": _function("log_sigmoid"),
    "tanh": _function("tanh"),
    "erf": _function("erf"),
    "special_erf": _function("erf"),
    "exp": _function("exp"),
    "sqrt": _function("sqrt"),
    "abs": _function("abs"),
    "square": _function("square"),
    "reciprocal": _function("reciprocal"),
    "neg": _negative,
    "hardtanh": _clamp("min_val", "max_val"),
    "clamp": _clamp("min", "max"),
    "clamp_min": _clamp("min", ""),
    "clamp_max": _clamp("", "max"),
} | {name: activation(name) for name in get_args(Activation) if name != "none"}

FUNCTIONS: dict[Any, _Handler] = {
    getattr(aten, form).default: handler
    for name, handler in _ROWS.items()
    for form in (name, f"{name}_")
    if hasattr(aten, form)
} | {
    aten.prelu.default: _prelu,
    aten.pow.Tensor_Scalar: _power,
    aten.softmax.int: _softmax(log=False),
    aten.log_softmax.int: _softmax(log=True),
}
