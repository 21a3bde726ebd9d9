"""`copied`: a deep copy of a network, whatever its attributes hold."""

import contextlib
import copy
import gc
from collections.abc import Iterator
from types import CodeType, FrameType, FunctionType, GeneratorType, ModuleType
from typing import Any, TypeVar

import torch
from torch import nn

from openwork._arguments import check_has_weights
from openwork.errors import ArgumentError

M = TypeVar("M", bound=nn.Module)

# deepcopy shares them, so that nothing behind them matters.
_SHARED = (type, FunctionType, ModuleType, CodeType, FrameType, GeneratorType)


def copied(model: M) -> M:
    """A deep copy, also of networks that hold what Python cannot copy.

    Computed tensors, which torch refuses to copy, are copied without their graph. Locks, files,
    generators and whatever else cannot be copied are shared with the original. A module or tensor
    that is held twice is held twice by the copy.

    Args:
        model: any module; it is not changed.

    Raises:
        ArgumentError: a parameter has no shape yet, or one of the modules cannot be copied.
    """
    check_has_weights(model)
    # Errors of any kind: it is the model's own attributes that raise.
    with contextlib.suppress(Exception):
        return copy.deepcopy(model)
    held = _held(model)
    for memo in (_uncopied(held), _uncopied(held) | _failing(held)):
        try:
            return copy.deepcopy(model, dict(memo))
        except Exception as error:
            reason = error
    culprits = ", ".join(_culprits(model, memo)) or "a module"
    raise ArgumentError(
        f"`model` cannot be copied: {culprits} ({type(reason).__name__}: {reason}); set it to None "
        "for this call"
    ) from reason


def _held(model: nn.Module) -> list[Any]:
    """All that `model` refers to, directly or not, but not what lies behind `_SHARED`."""
    found: dict[int, Any] = {}
    waiting: list[Any] = [model]
    while waiting:
        one = waiting.pop()
        if id(one) not in found and not isinstance(one, _SHARED[:-1]):
            found[id(one)] = one
            waiting += [] if isinstance(one, _SHARED) else gc.get_referents(one)
    return list(found.values())


def _uncopied(held: list[Any]) -> dict[int, Any]:
    """What takes the place of objects that cannot be copied, by their ids."""
    memo: dict[int, Any] = {}
    for one in held:
        if isinstance(one, torch.Tensor):
            if not one.is_leaf:
                memo[id(one)] = one.detach().clone()
        elif not isinstance(one, nn.Module) and not hasattr(one, "__deepcopy__"):
            try:
                one.__reduce_ex__(4)
            except Exception:
                # Python says so with many kinds of errors.
                memo[id(one)] = one
    return memo


def _failing(held: list[Any]) -> dict[int, Any]:
    """Objects whose own way of copying fails, by their ids."""
    memo: dict[int, Any] = {}
    # Copies made while trying stay in `trial`, so that each object is tried once.
    trial = _uncopied(held)
    trial |= {id(one): one for one in held if isinstance(one, nn.Module | torch.Tensor)}
    for one in reversed(held):
        if id(one) not in trial and type(one).__module__ != "builtins":
            try:
                copy.deepcopy(one, trial)
            except Exception:
                trial[id(one)] = memo[id(one)] = one
    return memo


def _culprits(model: nn.Module, memo: dict[int, Any]) -> Iterator[str]:
    """Qualified names of attributes that cannot be copied."""
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute == "_modules":
                continue
            try:
                copy.deepcopy(value, dict(memo))
            except Exception:
                yield f"`{name}.{attribute}`" if name else f"`{attribute}`"
