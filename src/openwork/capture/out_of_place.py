"""In-place operators, and those that give the same numbers in a new tensor."""

from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload, OpOverloadPacket

__all__ = ["out_of_place", "writes"]


def writes(target: Any) -> bool:
    """Whether an operator writes to one of its arguments."""
    return isinstance(target, OpOverload) and target._schema.is_mutable


def out_of_place(target: Callable[..., Any]) -> Callable[..., Any] | None:
    """The operator with the same arguments that returns what `target` writes to one of them.

    Returns:
        `target` itself if it writes to no argument; None if there is no such operator, or if
        `target` draws random numbers.
    """
    if not isinstance(target, OpOverload) or not writes(target):
        return target
    space, _, name = target._schema.name.partition("::")
    packet = getattr(getattr(torch.ops, space), name.removesuffix("_"), None)
    if torch.Tag.nondeterministic_seeded in target.tags or not isinstance(packet, OpOverloadPacket):
        return None
    # Overloads may have other names: `pow_.Scalar` is `pow.Tensor_Scalar`.
    overloads = (getattr(packet, name) for name in packet.overloads())
    return next(
        (each for each in overloads if not writes(each) and _arguments(each) == _arguments(target)),
        None,
    )


def _arguments(target: OpOverload) -> list[tuple[str, str]]:
    return [(argument.name, str(argument.type)) for argument in target._schema.arguments]
