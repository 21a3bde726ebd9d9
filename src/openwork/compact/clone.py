"""Copies of a model to work on: whatever it holds, and without hooks that only look on."""

import contextlib
import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from openwork._mode import evaluation
from openwork.errors import ArgumentError

_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
# On a module: its hooks, while those that only look on are taken off.
_PARKED = "_openwork_parked"


def replica(model: nn.Module) -> nn.Module:
    """A deep copy, of models too that hold computed tensors, which torch refuses to copy.

    Raises:
        ArgumentError: it holds what Python cannot copy.
    """
    held = _pytree.tree_leaves([list(vars(module).values()) for module in model.modules()])
    computed = [t for t in held if isinstance(t, torch.Tensor) and not t.is_leaf]
    known = {id(tensor): tensor.detach().clone() for tensor in computed}
    try:
        return copy.deepcopy(model, dict(known))
    except Exception as error:
        # Any kind: it is the model's own attributes that raise.
        culprits = ", ".join(_uncopyable(model, known)) or "an attribute"
        raise ArgumentError(
            f"`model` cannot be copied: {culprits} ({type(error).__name__}: {error}); set it to "
            "None for this call"
        ) from error


def _uncopyable(model: nn.Module, known: dict[int, torch.Tensor]) -> Iterator[str]:
    """Qualified names of attributes that cannot be copied."""
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute == "_modules":
                continue
            try:
                copy.deepcopy(value, dict(known))
            except Exception:
                yield f"`{name}.{attribute}`" if name else f"`{attribute}`"


@torch.no_grad()
def park_watchers_(model: nn.Module, example: Sequence[torch.Tensor]) -> None:
    """Take off the forward hooks that only look on, in place; copies of `model` keep them parked.

    Each hook runs once, on `example`, to see what it does: one that returns something, changes a
    number that it is given or an attribute of its module is a part of the network and stays.
    """
    hooked = [
        (vars(module), kind, hooks)
        for module in model.modules()
        for kind in _HOOKS
        if (hooks := vars(module).get(kind))
    ]
    if not hooked:
        return
    needed: dict[int, bool] = {}
    for held, kind, hooks in hooked:
        held[kind] = OrderedDict((key, _watched(hook, key, needed)) for key, hook in hooks.items())
    # A network that does not run says so when it is captured.
    with contextlib.suppress(Exception), evaluation(model):
        model(*(tensor.clone() for tensor in example))
    for held, kind, hooks in hooked:
        kept = ((key, hook) for key, hook in hooks.items() if needed.get(key, True))
        held[kind] = OrderedDict(kept)
        held.setdefault(_PARKED, {})[kind] = hooks


def unpark_watchers_(model: nn.Module) -> None:
    """Put back what `park_watchers_` took off, in place."""
    for module in model.modules():
        vars(module).update(vars(module).pop(_PARKED, {}))


def _watched(hook: Callable[..., Any], key: int, needed: dict[int, bool]) -> Callable[..., Any]:
    """`hook`, which notes down at `key` whether it does more than look on."""

    def run(module: nn.Module, *args: Any) -> Any:
        before = _marks(module, args)
        result = hook(module, *args)
        changed = result is not None or _marks(module, args) != before
        needed[key] = changed or needed.get(key, False)
        return result

    return run


def _marks(module: nn.Module, args: Any) -> list[Any]:
    """What changes if an attribute of `module` is set or a tensor is written to."""
    held = [*vars(module).items(), *module._parameters.items(), *module._buffers.items()]
    leaves = [*_pytree.tree_leaves(args), *(value for _, value in held)]
    tensors = [t for t in leaves if isinstance(t, torch.Tensor) and not t.is_inference()]
    return [*((name, id(value)) for name, value in held), *(t._version for t in tensors)]
