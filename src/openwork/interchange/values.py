"""What a value of an ONNX graph is while the network is built: a tensor, a constant, or sizes."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

# Elements of a constant that may be read as sizes; real ones have an entry for each axis.
_MOST_SIZES = 64


class NotReadable(Exception):
    """This use of an operator is not one that openwork reads; the text says why."""


@dataclass(frozen=True, eq=False)
class Constant:
    """A tensor known from the file.

    Attributes:
        tensor: of any shape.
        name: in the file; empty for what was computed from others.
    """

    tensor: torch.Tensor
    name: str = ""


@dataclass(frozen=True, eq=False)
class ShapeNumbers:
    """Numbers about shapes, each known now or when the network runs; never a tensor there.

    Attributes:
        items: numbers, or nodes of the graph that give one.
        scalar: whether they are one number without an axis.
        dtype: of the tensor that ONNX has in this place.
    """

    items: tuple[Any, ...]
    scalar: bool = False
    dtype: torch.dtype = torch.int64


# An optional input that is not given is None.
Value = fx.Node | Constant | ShapeNumbers


def as_sizes(value: Any) -> ShapeNumbers | None:
    """`value` as sizes if it is one, or a small constant of at most one axis."""
    if isinstance(value, ShapeNumbers):
        return value
    if not isinstance(value, Constant) or value.tensor.dim() > 1:
        return None
    if value.tensor.numel() > _MOST_SIZES:
        return None
    items = value.tensor.reshape(-1).tolist()
    return ShapeNumbers(tuple(items), value.tensor.dim() == 0, value.tensor.dtype)


def as_constant(value: Any) -> torch.Tensor | None:
    """The tensor that `value` is in every call; None if it depends on the inputs."""
    if isinstance(value, Constant):
        return value.tensor
    if isinstance(value, ShapeNumbers) and not any(
        isinstance(item, fx.Node) for item in value.items
    ):
        tensor = torch.tensor(value.items, dtype=value.dtype)
        return tensor.reshape(()) if value.scalar else tensor
    return None
