"""Operators in place as those that give a new tensor."""

from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload, OpOverloadPacket

_VIEW, _RESHAPE = torch.ops.aten.view.default, torch.ops.aten.reshape.default


def writes(target: Callable[..., Any]) -> bool:
    """Whether an operator writes to one of its arguments."""
    return isinstance(target, OpOverload) and target._schema.is_mutable


def functional(target: Callable[..., Any]) -> Callable[..., Any]:
    """The operator that gives what `target` leaves in its argument; `target` if there is none.

    The engine takes in-place operators only where both do the same (capture/mutation.py), and then
    moves what reads the argument behind them.
    """
    if target is _VIEW:
        # The engine leaves out copies that only make a tensor contiguous, as views need it.
        return _RESHAPE
    if not isinstance(target, OpOverload) or not writes(target):
        return target
    space, _, name = target._schema.name.partition("::")
    packet = getattr(getattr(torch.ops, space), name.removesuffix("_"), None)
    found = getattr(packet, target._overloadname, None)
    if not isinstance(packet, OpOverloadPacket) or not isinstance(found, OpOverload):
        return target
    same = _names(found) == _names(target) and not writes(found)
    return found if same else target


def _names(target: OpOverload) -> list[str]:
    return [argument.name for argument in target._schema.arguments]
