"""Kinds of modules that are saved in a way of their own, told of by the rooms that make them."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Kind:
    """How modules of one class are kept.

    Attributes:
        name: in the file's header.
        type: the class.
        describe: a module -> its tensors and header, plain JSON data.
        restore: the inverse; it owns the tensors. It raises CheckpointError where they do not fit.
    """

    name: str
    type: type[nn.Module]
    describe: Callable[[Any], tuple[Tensors, dict[str, Any]]]
    restore: Callable[[Tensors, Mapping[str, Any]], nn.Module]


_KINDS: dict[str, Kind] = {}
# Rooms that register a kind when they are imported, which the program that loads a file need not
# have done.
_ROOMS = {"compiled": "openwork.engine"}


def register(kind: Kind) -> None:
    """Let `save` and `load` know `kind`."""
    _KINDS[kind.name] = kind


def kind_of(model: nn.Module) -> Kind | None:
    """The kind that `model` is of; None for a module like any other."""
    return next((kind for kind in _KINDS.values() if isinstance(model, kind.type)), None)


def kind_named(name: str) -> Kind | None:
    """The kind that a header names; None for what is kept otherwise."""
    if name in _ROOMS:
        importlib.import_module(_ROOMS[name])
    return _KINDS.get(name)
