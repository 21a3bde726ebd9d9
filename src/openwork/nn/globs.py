"""Layers by glob: `features.*`, or `conv:*` and `linear:*` for one type of layer."""

import difflib
import fnmatch
from collections.abc import Iterable
from typing import Any

from torch import nn

from openwork.errors import PlanError
from openwork.nn.kinds.sparse_conv1d import SparseConv1d
from openwork.nn.layers import left_layers, why_left
from openwork.nn.sparse_conv2d import SparseConv2d
from openwork.nn.sparse_linear import SparseLinear

__all__ = ["check_glob", "escape", "matches", "nothing_matched"]

_TYPES = {
    "conv": (nn.modules.conv._ConvNd, SparseConv1d, SparseConv2d),
    "linear": (nn.Linear, SparseLinear),
}


def check_glob(glob: Any) -> str:
    """`glob` itself, if it is valid."""
    if not isinstance(glob, str) or not glob:
        raise PlanError(f"layer glob {glob!r} must be a name such as 'features.*'")
    kind, _ = _split(glob)
    if kind is not None and kind not in _TYPES:
        raise PlanError(
            f"layer glob {glob!r} may have only {' or '.join(_TYPES)} before its colon; write [:] "
            "for a colon in a layer's name"
        )
    return glob


def escape(name: str) -> str:
    """The glob that matches only the layer called `name`."""
    return "".join(f"[{c}]" if c in "*?[:" else c for c in name)


def matches(glob: str, name: str, module: nn.Module) -> bool:
    """Whether `glob` matches the layer `module` called `name`."""
    kind, rest = _split(glob)
    of_kind = kind is None or isinstance(module, _TYPES[kind])
    return of_kind and fnmatch.fnmatchcase(name, rest)


def _split(glob: str) -> tuple[str | None, str]:
    """The type of layer that `glob` is restricted to (None for any), and the glob of the name."""
    kind, colon, rest = glob.partition(":")
    # A colon in brackets is part of the name.
    return (kind, rest) if colon and "[" not in kind else (None, glob)


def nothing_matched(glob: str, model: nn.Module, layers: Iterable[str]) -> str:
    """Why `glob` matches none of `layers`, and what may have been meant."""
    _, bare = _split(glob)
    names = list(layers)
    modules = dict(model.named_modules())
    for name, reason in left_layers(model).items():
        if name not in names and matches(glob, name, modules[name]):
            return f"layer glob {glob!r} matches {name or 'the model itself'!r}, but {reason}"
    if not names:
        why = why_left(model) or "the model has no layer to make sparse"
        return f"layer glob {glob!r} matches nothing: {why}"
    close = difflib.get_close_matches(bare, names, n=3, cutoff=0.3) or names[:3]
    return (
        f"layer glob {glob!r} matches no layer; closest are {', '.join(map(repr, close))} "
        f"of {len(names)}, and 'conv:*' or 'linear:*' match by type"
    )
