"""Parts of a model with their types: torch's own access gives `Tensor | Module` for each."""

from typing import TypeVar

import torch
from torch import nn

T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)


def part(model: nn.Module, name: str | int, kind: type[M]) -> M:
    """The module `name` of `model`, which must be a `kind`."""
    found = model.get_submodule(str(name))
    assert isinstance(found, kind)
    return found


def tensor(model: nn.Module, name: str) -> torch.Tensor:
    """The parameter or buffer `name` of `model`."""
    found = getattr(model, name)
    assert isinstance(found, torch.Tensor)
    return found


def known(value: T | None) -> T:
    """`value`, which must not be None: a gradient or a bias that is there."""
    assert value is not None
    return value
