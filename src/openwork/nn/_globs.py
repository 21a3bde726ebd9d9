"""How layers are named in plans: `*` crosses dots, and `conv:` or `linear:` keeps to a kind."""

import fnmatch
from typing import Any

from torch import nn

from openwork.errors import PlanError
from openwork.nn._layers import Dense

_TYPES: dict[str, type[nn.Module]] = {"conv": nn.Conv2d, "linear": nn.Linear}


def check_glob(glob: Any) -> str:
    if not isinstance(glob, str) or not glob:
        raise PlanError(f"layer glob {glob!r} must be a name such as 'features.*'")
    kind, colon, _ = glob.partition(":")
    if colon and kind not in _TYPES:
        raise PlanError(f"layer glob {glob!r} may begin with {' or '.join(_TYPES)} only")
    return glob


def escape(name: str) -> str:
    """The glob that matches `name` and nothing else."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def matches(glob: str, name: str, module: Dense) -> bool:
    kind, colon, rest = glob.partition(":")
    if not colon:
        return fnmatch.fnmatchcase(name, glob)
    return isinstance(module, _TYPES[kind]) and fnmatch.fnmatchcase(name, rest)
