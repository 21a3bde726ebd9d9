"""Sums, means and extrema along axes, and where extrema lie."""

from collections.abc import Callable
from typing import Any

import torch

from openwork.interchange.builder import Builder, item, rank_of, with_rank
from openwork.interchange.onnx_node import OnnxNode
from openwork.interchange.values import NotReadable, ShapeNumbers, Value

Handler = Callable[[Builder, OnnxNode], Any]


def reduction(net: Builder, node: OnnxNode) -> Value:
    """`ReduceSum` and its kin."""
    x, keep = node.input(0), bool(node.attribute("keepdims", 1))
    axes = node.ints(1, "axes")
    if not axes and node.attribute("noop_with_empty_axes", 0):
        return net.call(alone, node.operator, x) if node.operator in _OF_EACH else x
    if node.operator == "ReduceProd" and isinstance(x, ShapeNumbers) and x.items:
        return ShapeNumbers((_product(net, x.items),), not keep, x.dtype)
    found = net.call(along, node.operator, x, axes or [], keep)
    return with_rank(found, rank_of(x)) if keep else found


# They change numbers even where no axis is reduced.
_OF_EACH = ("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")


def _product(net: Builder, items: tuple[Any, ...]) -> Any:
    found = items[0]
    for each in items[1:]:
        found = net.number(multiplied, found, each)
    return found


def multiplied(one: Any, two: Any) -> Any:
    """The product of two sizes."""
    return one * two


def along(operator: str, x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    """What an operator gives along `axes`, or along all if there are none."""
    return _FUNCTIONS[operator](x, axes or list(range(x.dim())), keep)


def alone(operator: str, x: torch.Tensor) -> torch.Tensor:
    """What an operator gives where no axis is reduced."""
    return _FUNCTIONS[operator](x, [], True)


def total(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    """The sum."""
    return x.sum(axes, keepdim=keep, dtype=x.dtype)


def mean(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    """The mean; of whole numbers rounded towards zero."""
    if not x.is_floating_point():
        return x.double().mean(axes, keepdim=keep).to(x.dtype)
    return x.mean(axes, keepdim=keep)


def largest(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    """The largest."""
    if not x.numel():
        return _of_nothing(x, axes, keep, -float("inf"))
    return x.amax(axes, keepdim=keep)


def least(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    """The smallest."""
    if not x.numel():
        return _of_nothing(x, axes, keep, float("inf"))
    return x.amin(axes, keepdim=keep)


def _of_nothing(x: torch.Tensor, axes: list[int], keep: bool, value: float) -> torch.Tensor:
    shaped = x.sum(axes, keepdim=keep, dtype=x.dtype)
    return torch.full_like(shaped, value > 0 if x.dtype == torch.bool else value)


def product(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    """The product."""
    for axis in sorted((axis % max(x.dim(), 1) for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep, dtype=x.dtype)
    return x


def length_1(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    """The sum of absolute values."""
    return total(x.abs(), axes, keep) if axes else x.abs()


def length_2(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    """The root of the sum of squares."""
    return total(x * x, axes, keep).sqrt().to(x.dtype) if axes else x.abs()


def squares(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    """The sum of squares."""
    return total(x * x, axes, keep) if axes else x * x


def log_sum(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    """The logarithm of the sum."""
    return total(x, axes, keep).log() if axes else x.log()


def log_sum_exp(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    """The logarithm of the sum of exponentials."""
    return torch.logsumexp(x, axes, keepdim=keep) if axes else x


def place(net: Builder, node: OnnxNode) -> Value:
    """`ArgMax` and `ArgMin`."""
    axis, keep = node.attribute("axis", 0), bool(node.attribute("keepdims", 1))
    last, high = bool(node.attribute("select_last_index", 0)), node.operator == "ArgMax"
    return net.call(place_of, node.input(0), axis, keep, last, high)


def place_of(x: torch.Tensor, axis: int, keep: bool, last: bool, high: bool) -> torch.Tensor:
    """Where the largest or smallest number along an axis lies: the first one, or the last."""
    run = torch.argmax if high else torch.argmin
    if not last:
        return run(x, axis, keepdim=keep)
    return x.shape[axis] - 1 - run(x.flip(axis), axis, keepdim=keep)


def top(net: Builder, node: OnnxNode) -> Any:
    """`TopK`."""
    axis, largest_ = node.attribute("axis", -1), bool(node.attribute("largest", 1))
    count = node.sizes(1)
    if len(count) != 1:
        raise NotReadable("its second input must be a single number")
    found = net.call(largest_few, node.input(0), count[0], axis, largest_)
    if isinstance(found, tuple):
        return found
    return tuple(net.number(item, found, index) for index in range(2))


def largest_few(x: torch.Tensor, count: int, axis: int, high: bool) -> Any:
    """The `count` largest or smallest numbers along an axis, sorted, and their places."""
    # Of equal numbers the first counts, which torch.topk does not promise.
    values, places = torch.sort(x, stable=True, dim=axis, descending=high)
    return values.narrow(axis, 0, count), places.narrow(axis, 0, count)


_FUNCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "ReduceSum": total,
    "ReduceMean": mean,
    "ReduceMax": largest,
    "ReduceMin": least,
    "ReduceProd": product,
    "ReduceL1": length_1,
    "ReduceL2": length_2,
    "ReduceSumSquare": squares,
    "ReduceLogSum": log_sum,
    "ReduceLogSumExp": log_sum_exp,
}
REDUCTIONS: dict[str, Handler] = {
    **dict.fromkeys(_FUNCTIONS, reduction),
    "ArgMax": place,
    "ArgMin": place,
    "TopK": top,
}
