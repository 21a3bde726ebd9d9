"""Operators that work on each number by itself, on tensors and on sizes."""

import math
import operator
from collections.abc import Callable
from typing import Any

import torch

from openwork.interchange.builder import Builder, rank_of, with_rank
from openwork.interchange.onnx_node import OnnxNode, dtype_named
from openwork.interchange.values import Constant, NotReadable, ShapeNumbers, Value, as_sizes

Handler = Callable[[Builder, OnnxNode], Any]


def _of_each(function: Callable[..., Any], on_numbers: Callable[..., Any] | None = None) -> Handler:
    """A handler for a function of one tensor."""

    def handler(net: Builder, node: OnnxNode) -> Value:
        x = node.input(0)
        if isinstance(x, ShapeNumbers) and on_numbers is not None:
            items = tuple(net.number(on_numbers, item) for item in x.items)
            return ShapeNumbers(items, x.scalar, x.dtype)
        return with_rank(net.call(function, x), rank_of(x))

    return handler


def _of_pairs(
    function: Callable[..., Any],
    on_numbers: Callable[..., Any] | None = None,
    gives: torch.dtype | None = None,
    *,
    numbers: bool = False,
) -> Handler:
    """A handler for a function of two tensors, or of more, one after the other.

    Args:
        function: of tensors.
        on_numbers: the same for sizes.
        gives: the dtype of the results, if not that of the operands.
        numbers: whether `function` takes a constant that is one number as such.
    """

    def handler(net: Builder, node: OnnxNode) -> Any:
        found: Any = node.input(0)
        if len(node.inputs) == 1:
            return found
        for index in range(1, len(node.inputs)):
            found = _pair(net, node, found, node.input(index))
        return found

    def _pair(net: Builder, node: OnnxNode, one: Any, two: Any) -> Any:
        sizes = as_sizes(one), as_sizes(two)
        if (
            on_numbers
            and isinstance(one, ShapeNumbers) | isinstance(two, ShapeNumbers)
            and all(sizes)
        ):
            found = _paired(net, on_numbers, sizes[0], sizes[1])  # type: ignore[arg-type]
            if found is not None:
                return found if gives is None else ShapeNumbers(found.items, found.scalar, gives)
        rank = max(rank_of(one), rank_of(two))
        pair = (_plain(one, two), _plain(two, one)) if numbers else (one, two)
        return with_rank(net.call(function, *pair), rank)

    return handler


def _paired(
    net: Builder, function: Callable[..., Any], one: ShapeNumbers, two: ShapeNumbers
) -> ShapeNumbers | None:
    """`function` of each pair; a single number goes with all."""
    count = max(len(one.items), len(two.items))
    if {len(one.items), len(two.items)} - {1, count}:
        return None
    rows = [each.items * (count if len(each.items) == 1 else 1) for each in (one, two)]
    items = tuple(net.number(function, a, b) for a, b in zip(*rows, strict=True))
    return ShapeNumbers(items, one.scalar and two.scalar, one.dtype)


def _plain(value: Any, other: Any) -> Any:
    """A constant that is one number as such, where the result has the other's shape and dtype."""
    if isinstance(value, Constant) and not isinstance(other, Constant | ShapeNumbers):
        tensor = value.tensor
        if tensor.numel() == 1 and tensor.dim() <= rank_of(other) and tensor.dtype in _NUMBERS:
            return tensor.item()
    return value


_NUMBERS = (torch.float32, torch.int64)


def divide(one: Any, two: Any) -> Any:
    """Division; of whole numbers towards zero."""
    whole = not any(
        each.is_floating_point() if isinstance(each, torch.Tensor) else isinstance(each, float)
        for each in (one, two)
    )
    if not whole:
        return one / two
    return torch.div(torch.as_tensor(one), two, rounding_mode="trunc")


def divide_numbers(one: Any, two: Any) -> Any:
    """Division of numbers; of whole ones towards zero, and sizes are not negative."""
    if isinstance(one, float | torch.SymFloat) or isinstance(two, float | torch.SymFloat):
        return one / two
    if isinstance(one, int) and isinstance(two, int):
        return abs(one) // abs(two) * (1 if (one < 0) == (two < 0) else -1)
    return one // two


def power(one: Any, two: Any) -> Any:
    """The power, in the dtype of the base."""
    found = one**two
    return found.to(one.dtype) if isinstance(one, torch.Tensor) else found


def modulo(net: Builder, node: OnnxNode) -> Any:
    """`Mod`, with the sign of the divisor, or of the dividend with `fmod`."""
    function = torch.fmod if node.attribute("fmod", 0) else torch.remainder
    return _of_pairs(function, None if node.attribute("fmod", 0) else operator.mod)(net, node)


def mean_of(net: Builder, node: OnnxNode) -> Any:
    """`Mean` of several tensors."""
    total = _of_pairs(torch.add)(net, node)
    return net.call(torch.div, total, len(node.inputs))


def cast(net: Builder, node: OnnxNode) -> Any:
    """`Cast` and `CastLike`."""
    x = node.input(0)
    if node.operator == "CastLike":
        return net.call(as_other, x, node.input(1))
    dtype = dtype_named(node.attribute("to"))
    if isinstance(x, ShapeNumbers):
        function = torch.sym_float if dtype.is_floating_point else torch.sym_int
        if dtype == torch.bool:
            function = bool
        if x.dtype == torch.bool:
            return net.call(torch.Tensor.to, x, dtype)
        return ShapeNumbers(tuple(net.number(function, item) for item in x.items), x.scalar, dtype)
    return with_rank(net.call(torch.Tensor.to, x, dtype), rank_of(x))


def as_other(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """`x` in the dtype of `other`."""
    return x.to(other.dtype)


def where(net: Builder, node: OnnxNode) -> Any:
    """`Where`."""
    chosen, one, two = node.input(0), node.input(1), node.input(2)
    parts = [as_sizes(each) for each in (chosen, one, two)]
    if node.are_sizes() and all(parts):
        count = max(len(part.items) for part in parts if part)
        rows = [part.items * (count if len(part.items) == 1 else 1) for part in parts if part]
        if all(len(row) == count for row in rows):
            items = tuple(net.number(choose, *each) for each in zip(*rows, strict=True))
            scalar = all(part.scalar for part in parts if part)
            return ShapeNumbers(items, scalar, parts[1].dtype)  # type: ignore[union-attr]
    rank = max(map(rank_of, (chosen, one, two)))
    return with_rank(net.call(torch.where, chosen, one, two), rank)


def choose(condition: Any, one: Any, two: Any) -> Any:
    """`one` if the condition holds, else `two`."""
    return one if condition else two


def is_infinite(net: Builder, node: OnnxNode) -> Any:
    """`IsInf`."""
    both = node.attribute("detect_negative", 1), node.attribute("detect_positive", 1)
    functions = {(1, 1): torch.isinf, (1, 0): torch.isneginf, (0, 1): torch.isposinf}
    if both not in functions:
        raise NotReadable("it detects nothing")
    return net.call(functions[both], node.input(0))


def bits_shifted(net: Builder, node: OnnxNode) -> Any:
    """`BitShift`."""
    left = node.text("direction", "", ("LEFT", "RIGHT")) == "LEFT"
    function = torch.bitwise_left_shift if left else torch.bitwise_right_shift
    return net.call(function, node.input(0), node.input(1))


def einsum(net: Builder, node: OnnxNode) -> Any:
    """`Einsum`."""
    return net.call(contracted, node.attribute("equation"), list(node.inputs))


def contracted(equation: str, tensors: list[torch.Tensor]) -> torch.Tensor:
    """Einstein's sum."""
    return torch.einsum(equation, *tensors)


ARITHMETIC: dict[str, Handler] = {
    "Add": _of_pairs(operator.add, operator.add, numbers=True),
    "Sub": _of_pairs(operator.sub, operator.sub, numbers=True),
    "Mul": _of_pairs(operator.mul, operator.mul, numbers=True),
    "Div": _of_pairs(divide, divide_numbers, numbers=True),
    "Pow": _of_pairs(power, operator.pow, numbers=True),
    "Mod": modulo,
    "Sum": _of_pairs(torch.add, operator.add),
    "Mean": mean_of,
    "Max": _of_pairs(torch.maximum, torch.sym_max),
    "Min": _of_pairs(torch.minimum, torch.sym_min),
    "Equal": _of_pairs(torch.eq, operator.eq, torch.bool),
    "Greater": _of_pairs(torch.gt, operator.gt, torch.bool),
    "GreaterOrEqual": _of_pairs(torch.ge, operator.ge, torch.bool),
    "Less": _of_pairs(torch.lt, operator.lt, torch.bool),
    "LessOrEqual": _of_pairs(torch.le, operator.le, torch.bool),
    "And": _of_pairs(torch.logical_and),
    "Or": _of_pairs(torch.logical_or),
    "Xor": _of_pairs(torch.logical_xor),
    "BitwiseAnd": _of_pairs(torch.bitwise_and),
    "BitwiseOr": _of_pairs(torch.bitwise_or),
    "BitwiseXor": _of_pairs(torch.bitwise_xor),
    "BitwiseNot": _of_each(torch.bitwise_not),
    "BitShift": bits_shifted,
    "Not": _of_each(torch.logical_not, operator.not_),
    "Abs": _of_each(torch.abs, operator.abs),
    "Neg": _of_each(torch.neg, operator.neg),
    "Sign": _of_each(torch.sign),
    "Floor": _of_each(torch.floor, math.floor),
    "Ceil": _of_each(torch.ceil, math.ceil),
    "Round": _of_each(torch.round),
    "Sqrt": _of_each(torch.sqrt, torch.sym_sqrt),
    "Exp": _of_each(torch.exp),
    "Log": _of_each(torch.log),
    "Reciprocal": _of_each(torch.reciprocal),
    "Erf": _of_each(torch.erf),
    "Sin": _of_each(torch.sin),
    "Cos": _of_each(torch.cos),
    "Tan": _of_each(torch.tan),
    "Asin": _of_each(torch.asin),
    "Acos": _of_each(torch.acos),
    "Atan": _of_each(torch.atan),
    "Sinh": _of_each(torch.sinh),
    "Cosh": _of_each(torch.cosh),
    "Asinh": _of_each(torch.asinh),
    "Acosh": _of_each(torch.acosh),
    "Atanh": _of_each(torch.atanh),
    "IsNaN": _of_each(torch.isnan),
    "IsInf": is_infinite,
    "Cast": cast,
    "CastLike": cast,
    "Where": where,
    "Einsum": einsum,
}
