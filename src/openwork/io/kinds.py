"""Kinds of modules with a special file format, registered by the rooms that make them."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

__all__ = ["Kind", "register"]

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Kind:
    """How modules of one class are saved.

    Attributes:
        name: the kind in the file's header.
        type: the class.
        describe: a module -> its tensors and header, plain JSON data.
        restore: the inverse; it may keep the tensors. Raises CheckpointError if they do not fit.
    """

    name: str
    type: type[nn.Module]
    describe: Callable[[Any], tuple[Tensors, dict[str, Any]]]
    restore: Callable[[Tensors, Mapping[str, Any]], nn.Module]


_KINDS: dict[str, Kind] = {}
# Rooms that register a kind when they are imported, which the program that loads a file need not
# have done.
_ROOMS = {"compiled": "openwork.engine", "quantized": "openwork.quantize"}


def register(kind: Kind) -> None:
    """Make `kind` known to `save` and `load`."""
    _KINDS[kind.name] = kind


def kind_of(model: nn.Module) -> Kind | None:
    """The kind of `model`; None for an ordinary module."""
    return next((kind for kind in _KINDS.values() if isinstance(model, kind.type)), None)


def kind_named(name: str) -> Kind | None:
    """The registered kind called `name`, or None."""
    if name in _ROOMS:
        importlib.import_module(_ROOMS[name])
    return _KINDS.get(name)
