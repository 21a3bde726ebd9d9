"""Operators in place as those that give a new tensor."""

from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload, OpOverloadPacket


def writes(target: Any) -> bool:
    """Whether an operator writes to one of its arguments."""
    return isinstance(target, OpOverload) and target._schema.is_mutable


def out_of_place(target: Callable[..., Any]) -> Callable[..., Any] | None:
    """The operator of the same arguments that gives what `target` leaves in one of them.

    That is `target` itself if it writes to none, and None if there is no such operator or `target`
    draws random numbers.
    """
    if not isinstance(target, OpOverload) or not writes(target):
        return target
    space, _, name = target._schema.name.partition("::")
    packet = getattr(getattr(torch.ops, space), name.removesuffix("_"), None)
    if torch.Tag.nondeterministic_seeded in target.tags or not isinstance(packet, OpOverloadPacket):
        return None
    # Their overloads may have other names: `pow_.Scalar` is `pow.Tensor_Scalar`.
    found = (getattr(packet, overload) for overload in packet.overloads())
    return next((f for f in found if not writes(f) and _arguments(f) == _arguments(target)), None)


def _arguments(target: OpOverload) -> list[tuple[str, str]]:
    return [(argument.name, str(argument.type)) for argument in target._schema.arguments]
