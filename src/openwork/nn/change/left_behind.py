"""Optimisers that still hold what a verb replaced, or state of a size that has changed.

Such an optimiser raises nothing and trains nothing, or fails inside torch. It is found at its next
step, when it is certain, by hooks that all optimisers share. They are registered when a verb first
replaces or resizes a parameter, and look at weak references only.
"""

import gc
import warnings
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from openwork.errors import ArgumentError

__all__ = ["note_replaced"]

Optimizer = torch.optim.Optimizer


@dataclass(eq=False)
class _Replaced:
    """A parameter that a verb replaced."""

    old: weakref.ref[nn.Parameter]
    new: weakref.ref[nn.Parameter]
    name: str
    verb: str
    copied: bool


@dataclass(eq=False)
class _Resized:
    """A parameter that a verb gave another shape, perhaps several times."""

    parameter: weakref.ref[nn.Parameter]
    shapes: set[torch.Size]
    name: str
    verb: str


# By the id of the parameter, for as long as it lives.
_replaced: dict[int, _Replaced] = {}
_resized: dict[int, _Resized] = {}
_hooks: list[Any] = []


def note_replaced(
    heirs: Mapping[nn.Parameter, tuple[nn.Parameter, str]], verb: str, *, copied: bool = False
) -> None:
    """Warn when an optimiser steps that still holds an old parameter, and none holds its heir.

    Args:
        heirs: old parameter -> the one in its place, and its qualified name.
        verb: what replaced them.
        copied: the old ones are still those of a model, which may continue to train. Default False.
    """
    _watch()
    news = {id(old): new for old, (new, _) in heirs.items()}
    for earlier in () if copied else list(_replaced.values()):
        # An optimiser may hold what has been replaced twice.
        new = news.get(id(earlier.new()))
        if new is not None:
            earlier.new = weakref.ref(new)
    for old, (new, name) in heirs.items():
        weak = weakref.ref(old, _forget(_replaced, id(old)))
        _replaced[id(old)] = _Replaced(weak, weakref.ref(new), name, verb, copied)


def note_resized(parameter: nn.Parameter, shape: torch.Size, name: str, verb: str) -> None:
    """Raise when an optimiser steps that holds state of the old `shape` of `parameter`."""
    _watch()
    key = id(parameter)
    if key in _resized:
        _resized[key].shapes.add(shape)
        return
    weak = weakref.ref(parameter, _forget(_resized, key))
    _resized[key] = _Resized(weak, {shape}, name, verb)


def _forget(known: dict[int, Any], key: int) -> Callable[[object], None]:
    return lambda _: known.pop(key, None)


def _watch() -> None:
    if not _hooks:
        _hooks.append(register_optimizer_step_pre_hook(_before_step))
        # Afterwards, because a closure computes the gradients within the step.
        _hooks.append(register_optimizer_step_post_hook(_after_step))


def _before_step(optimizer: Optimizer, *_: Any) -> None:
    """Raise an ArgumentError where torch would fail because of a size, or broadcast."""
    if not _resized or torch.compiler.is_compiling():
        return
    for parameter in _parameters(optimizer):
        found = _resized.get(id(parameter))
        if found is None:
            continue
        state = optimizer.state.get(parameter, {}).values()
        shapes = {value.shape for value in state if isinstance(value, torch.Tensor)}
        outdated = shapes & (found.shapes - {parameter.shape})
        if outdated:
            raise ArgumentError(
                f"`optimizer` ({type(optimizer).__name__}) holds state of shape "
                f"{tuple(outdated.pop())} for {found.name!r}, which has {tuple(parameter.shape)} "
                f"since `{found.verb}`; pass `optimizer=` to `{found.verb}`, or create a new "
                "optimiser after it"
            )
        # No other optimiser trains it.
        _resized.pop(id(parameter), None)


def _after_step(optimizer: Optimizer, *_: Any) -> None:
    """Warn once if parameters that `optimizer` should train have gradients but no optimiser."""
    if not _replaced or torch.compiler.is_compiling():
        return
    suspects = []
    for parameter in _parameters(optimizer):
        found = _replaced.get(id(parameter))
        if found is None or (found.copied and parameter.grad is not None):
            continue
        new = found.new()
        # Without a gradient the new parameter may be at rest on purpose.
        if new is not None and new.requires_grad and new.grad is not None:
            suspects.append((found, new))
            _replaced.pop(id(parameter), None)
    trained = _trained([new for _, new in suspects])
    lost = [found for found, new in suspects if id(new) not in trained]
    if lost:
        _warn(type(optimizer).__name__, lost)


def _parameters(optimizer: Optimizer) -> list[Any]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _trained(parameters: Sequence[nn.Parameter]) -> set[int]:
    """The ids of those `parameters` that any optimiser holds; a search through all objects."""
    if not parameters:
        return set()
    # The class, because asking an object for its `__class__` may run code.
    optimizers = [each for each in gc.get_objects() if issubclass(type(each), Optimizer)]
    # One that is just being created has no groups yet.
    groups = [group for each in optimizers for group in getattr(each, "param_groups", ())]
    held = {id(parameter) for group in groups for parameter in group["params"]}
    return held & {id(parameter) for parameter in parameters}


def _warn(kind: str, lost: Collection[_Replaced]) -> None:
    verb = next(iter(lost)).verb
    names = list(dict.fromkeys(repr(found.name.rpartition(".")[0]) for found in lost))
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    warnings.warn(
        f"the optimiser ({kind}) that just made a step does not train {shown}: it still holds the "
        f"parameters that `{verb}` replaced. Pass `optimizer=` to `{verb}`, or create the "
        "optimiser after it",
        UserWarning,
        # Past this function, the hook and torch's wrapper of `step`.
        stacklevel=4,
    )
