"""`clone`: a deep copy of a model, whatever its attributes hold."""

import copy
from collections.abc import Iterator

import torch
from torch import nn
from torch.utils import _pytree

from openwork.errors import ArgumentError


def clone(model: nn.Module) -> nn.Module:
    """A deep copy, also of models that hold computed tensors, which torch refuses to copy.

    Raises:
        ArgumentError: `model` holds something that Python cannot copy.
    """
    held = _pytree.tree_leaves([list(vars(module).values()) for module in model.modules()])
    computed = [t for t in held if isinstance(t, torch.Tensor) and not t.is_leaf]
    copies = {id(tensor): tensor.detach().clone() for tensor in computed}
    try:
        return copy.deepcopy(model, dict(copies))
    except Exception as error:
        # Any kind: it is the model's own attributes that raise.
        culprits = ", ".join(_uncopyable(model, copies)) or "an attribute"
        raise ArgumentError(
            f"`model` cannot be copied: {culprits} ({type(error).__name__}: {error}); set it to "
            "None for this call"
        ) from error


def _uncopyable(model: nn.Module, copies: dict[int, torch.Tensor]) -> Iterator[str]:
    """Qualified names of attributes that cannot be copied."""
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute == "_modules":
                continue
            try:
                copy.deepcopy(value, dict(copies))
            except Exception:
                yield f"`{name}.{attribute}`" if name else f"`{attribute}`"
