"""timm's batch norm with a dropout and an activation in it, on native kernels."""

import functools
import importlib
from typing import Any

import torch
from torch import nn

from openwork.nn.norms.activations import MODULES
from openwork.nn.norms.native_norm import NativeNorm
from openwork.ops.batch_norm_act import native_takes

__all__ = ["is_native", "is_timms"]

_TIMMS = ("timm.layers.norm_act", "BatchNormAct2d")
_NATIVE = "NativeTimmBatchNormAct2d"


def is_timms(norm: nn.Module) -> bool:
    """Whether this is timm's `BatchNormAct2d` itself, of which a subclass may differ."""
    return (type(norm).__module__, type(norm).__name__) == _TIMMS


def is_native(norm: nn.Module) -> bool:
    """Whether `to_native_` has been applied to this."""
    return type(norm).__name__ == _NATIVE


def act_of(norm: Any) -> str | None:
    """The activation in timm's layer, "none" where there is none; None for one of another kind."""
    if type(norm.drop) is not nn.Identity:
        return None
    return "none" if type(norm.act) is nn.Identity else MODULES.get(type(norm.act))


def to_native_(norm: nn.Module, waits_for: str | None) -> None:
    """Let timm's layer run on native kernels; it stays the same object, of a subclass.

    Args:
        norm: the layer.
        waits_for: as in `NativeNorm`.
    """
    native: Any = norm
    native.__class__ = _native(type(norm))
    native.stands_in, native.waits_for = True, waits_for


def from_native_(norm: Any) -> None:
    """Undo `to_native_`, if there is anything to undo."""
    if is_native(norm):
        norm.__class__ = type(norm).__mro__[2]
        del norm.stands_in, norm.waits_for


@functools.cache
def _native(kind: Any) -> Any:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        if not (self.training and native_takes(x, self.weight, None)):
            return kind.forward(self, x)
        return self.act(self.drop(self.by_batch(x, None, "none")))

    return type(_NATIVE, (NativeNorm, kind), {"forward": forward, "__module__": __name__})


def __getattr__(name: str) -> Any:
    # Where pickle looks for the class.
    if name != _NATIVE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, kind = _TIMMS
    return _native(getattr(importlib.import_module(module), kind))
