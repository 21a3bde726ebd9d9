"""Forward hooks that only observe: detached from a copy while it is rewritten, then reattached."""

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from openwork._call import Call, as_call
from openwork._mode import evaluation
from openwork._unchanged import unchanged

__all__ = ["detach_passive_hooks_"]

_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
# The attribute of a module that keeps all its hooks while the passive ones are off.
_DETACHED = "_openwork_detached_hooks"


@torch.no_grad()
def detach_passive_hooks_(model: nn.Module, example: Call | Sequence[torch.Tensor]) -> None:
    """Detach the forward hooks that only observe, in place; copies of `model` remember them.

    Each hook runs once, on `example`, to see what it does; what it stores is put back. One that
    returns something, or that changes a tensor that it is given or an attribute of its module, is
    part of the network and is kept.

    Args:
        model: run in evaluation mode.
        example: tensors `(N, ...)` of one call.
    """
    hooked = [
        (vars(module), kind, hooks)
        for module in model.modules()
        for kind in _HOOKS
        if (hooks := vars(module).get(kind))
    ]
    if not hooked:
        return
    active: dict[int, bool] = {}
    # A network that does not run says so when it is captured.
    with contextlib.suppress(Exception), unchanged(model), evaluation(model):
        # Only now, or what is found would be put back too.
        for attributes, kind, hooks in hooked:
            attributes[kind] = OrderedDict(
                (key, _examined(hook, key, active)) for key, hook in hooks.items()
            )
        as_call(example).map(torch.clone).run(model)
    for attributes, kind, hooks in hooked:
        kept = ((key, hook) for key, hook in hooks.items() if active.get(key, True))
        attributes[kind] = OrderedDict(kept)
        attributes.setdefault(_DETACHED, {})[kind] = hooks


def reattach_passive_hooks_(model: nn.Module) -> None:
    """Reattach what `detach_passive_hooks_` detached, in place."""
    for module in model.modules():
        vars(module).update(vars(module).pop(_DETACHED, {}))


def _examined(hook: Callable[..., Any], key: int, active: dict[int, bool]) -> Callable[..., Any]:
    """`hook`, which records in `active[key]` whether it does more than observe."""

    def run(module: nn.Module, *args: Any) -> Any:
        before = _marks(module, args)
        result = hook(module, *args)
        changed = result is not None or _marks(module, args) != before
        active[key] = changed or active.get(key, False)
        return result

    return run


def _marks(module: nn.Module, args: Any) -> list[Any]:
    """What changes if an attribute of `module` is set or a tensor is written to."""
    held = [*vars(module).items(), *module._parameters.items(), *module._buffers.items()]
    leaves = [*_pytree.tree_leaves(args), *(value for _, value in held)]
    tensors = [t for t in leaves if isinstance(t, torch.Tensor) and not t.is_inference()]
    return [*((name, id(value)) for name, value in held), *(t._version for t in tensors)]
