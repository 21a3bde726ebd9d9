"""Operators about shapes: what they give is known now, or computed on numbers, not on tensors."""

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from openwork.interchange.builder import Builder, rank_of, with_rank
from openwork.interchange.onnx_node import OnnxNode
from openwork.interchange.values import (
    Constant,
    NotReadable,
    ShapeNumbers,
    Value,
    as_constant,
    as_sizes,
)

Handler = Callable[[Builder, OnnxNode], Any]


def shape(net: Builder, node: OnnxNode) -> Value:
    """`Shape`; the rank must be known."""
    x = node.input(0)
    start, end = node.attribute("start", 0), node.attribute("end")
    known = as_constant(x)
    if known is not None:
        sizes: tuple[Any, ...] = tuple(known.shape)
    elif isinstance(x, ShapeNumbers):
        sizes = () if x.scalar else (len(x.items),)
    else:
        sizes = tuple(net.size(x, axis) for axis in range(_exact_rank(x)))
    return ShapeNumbers(sizes[start:end])


def _exact_rank(x: Any) -> int:
    """The rank of a node's tensor.

    Raises:
        NotReadable: the file does not say it.
    """
    rank = x.meta.get("exact", rank_of(x))
    if not rank:
        raise NotReadable("the number of axes of its input is not known")
    return rank


def size(net: Builder, node: OnnxNode) -> Value:
    """`Size`: how many numbers a tensor has."""
    x = node.input(0)
    if isinstance(x, fx.Node):
        return ShapeNumbers((net.number(torch.Tensor.numel, x),), True)
    known = as_constant(x)
    count = len(x.items) if isinstance(x, ShapeNumbers) else known.numel()  # type: ignore[union-attr]
    return ShapeNumbers((count,), True)


def reshape(net: Builder, node: OnnxNode) -> Value:
    """`Reshape`."""
    x, sizes = node.input(0), node.sizes(1)
    keeps = not node.attribute("allowzero", 0)
    if isinstance(x, ShapeNumbers) and len(sizes) <= 1:
        return ShapeNumbers(x.items, not sizes, x.dtype)
    return with_rank(net.call(reshaped, x, sizes, keeps), len(sizes))


def reshaped(x: torch.Tensor, sizes: list[Any], keeps: bool) -> torch.Tensor:
    """`x` in another shape; where `keeps`, a size of 0 is that of `x`."""
    # Sizes that are not known yet are never 0.
    given = [
        x.shape[axis] if keeps and isinstance(each, int) and each == 0 else each
        for axis, each in enumerate(sizes)
    ]
    return x.reshape(given)


def flatten(net: Builder, node: OnnxNode) -> Value:
    """`Flatten`."""
    return with_rank(net.call(as_matrix, node.input(0), node.attribute("axis", 1)), 2)


def as_matrix(x: torch.Tensor, axis: int) -> torch.Tensor:
    """The axes before `axis` as one, and the rest as another."""
    axis = axis + x.dim() if axis < 0 else axis
    if axis == 1 and x.dim() > 1:
        return x.flatten(1)
    rows = 1
    for each in x.shape[:axis]:
        rows = rows * each
    return x.reshape(rows, -1) if x.numel() else x.reshape(rows, x.shape[axis:].numel())


def squeeze(net: Builder, node: OnnxNode) -> Value:
    """`Squeeze`."""
    x, axes = node.input(0), node.ints(1, "axes")
    if isinstance(x, ShapeNumbers):
        if len(x.items) != 1:
            raise NotReadable(f"it has {len(x.items)} sizes, but must have one")
        return ShapeNumbers(x.items, not x.scalar or axes == [], x.dtype)
    if axes is None:
        return net.call(torch.squeeze, x)
    return with_rank(net.call(torch.squeeze, x, axes), max(rank_of(x) - len(axes), 0))


def unsqueeze(net: Builder, node: OnnxNode) -> Value:
    """`Unsqueeze`."""
    x, axes = node.input(0), node.ints(1, "axes")
    if not axes or len(set(axes)) != len(axes):
        raise NotReadable(f"`axes` are {axes}")
    if isinstance(x, ShapeNumbers) and x.scalar and axes in ([0], [-1]):
        return ShapeNumbers(x.items, False, x.dtype)
    return with_rank(net.call(with_axes, x, axes), rank_of(x) + len(axes))


def with_axes(x: torch.Tensor, axes: list[int]) -> torch.Tensor:
    """`x` with axes of length 1 at these places of the result."""
    rank = x.dim() + len(axes)
    for axis in sorted(axis + rank if axis < 0 else axis for axis in axes):
        x = x.unsqueeze(axis)
    return x


def expand(net: Builder, node: OnnxNode) -> Value:
    """`Expand`."""
    x, sizes = node.input(0), node.sizes(1)
    return with_rank(net.call(expanded, x, sizes), max(rank_of(x), len(sizes)))


def expanded(x: torch.Tensor, sizes: list[Any]) -> torch.Tensor:
    """`x` repeated to `sizes`; where those are 1, the size of `x` stays."""
    rank = max(x.dim(), len(sizes))
    own = [1] * (rank - x.dim()) + list(x.shape)
    wanted = [1] * (rank - len(sizes)) + list(sizes)
    return x.expand(
        [a if isinstance(b, int) and b == 1 else b for a, b in zip(own, wanted, strict=True)]
    )


def filled(net: Builder, node: OnnxNode) -> Value:
    """`ConstantOfShape`."""
    value = node.attribute("value")
    value = torch.zeros(1) if value is None else value
    if value.numel() != 1:
        raise NotReadable("`value` must be a single number")
    sizes = node.sizes(0)
    few = len(sizes) == 1 and isinstance(sizes[0], int) and 0 <= sizes[0] <= 64
    if few and not value.is_floating_point():
        return ShapeNumbers((value.item(),) * sizes[0], False, value.dtype)
    return with_rank(net.call(full, sizes, value.item(), value.dtype), len(sizes))


def full(sizes: list[Any], value: Any, dtype: torch.dtype) -> torch.Tensor:
    """A tensor of one value."""
    return torch.full(sizes, value, dtype=dtype)


def range_(net: Builder, node: OnnxNode) -> Value:
    """`Range`."""
    parts = [as_sizes(node.input(index)) for index in range(3)]
    if not all(part is not None and len(part.items) == 1 for part in parts):
        raise NotReadable("its limits are computed from data")
    start, stop, step = (part.items[0] for part in parts if part)
    dtype = parts[0].dtype if parts[0] else torch.int64
    return with_rank(net.call(progression, start, stop, step, dtype), 1)


def progression(start: Any, stop: Any, step: Any, dtype: torch.dtype) -> torch.Tensor:
    """Numbers from `start` to before `stop`."""
    return torch.arange(start, stop, step, dtype=dtype)


def constant(net: Builder, node: OnnxNode) -> Value:
    """`Constant`."""
    for name, dtype in _CONSTANTS.items():
        if name in node.attributes:
            value = node.attributes[name]
            return Constant(value if dtype is None else torch.tensor(value, dtype=dtype))
    raise NotReadable(f"it holds {', '.join(node.attributes) or 'nothing'}")


_CONSTANTS = {
    "value": None,
    "value_float": torch.float32,
    "value_floats": torch.float32,
    "value_int": torch.int64,
    "value_ints": torch.int64,
}


def identity(net: Builder, node: OnnxNode) -> Value:
    """`Identity`."""
    return node.input(0)


SHAPES: dict[str, Handler] = {
    "Shape": shape,
    "Size": size,
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Expand": expand,
    "ConstantOfShape": filled,
    "Range": range_,
    "Constant": constant,
    "Identity": identity,
}
