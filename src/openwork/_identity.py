"""The identity of a run: whatever determines its result, as plain data.

It is recorded in the files of the run, and compared before a run is resumed from them.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def digest_of(model: nn.Module) -> str:
    """SHA-256 of the names and values in the state dict of `model`, in hexadecimal."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        if not isinstance(value, torch.Tensor):
            # `get_extra_state` may return anything.
            digest.update(f"{name} {value!r}".encode())
            continue
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def with_settings(
    identity: Mapping[str, Any], settings: Mapping[str, Any] | None
) -> dict[str, Any]:
    """`identity` together with the `settings` that the caller says determine the result too."""
    return {**identity, "settings": dict(settings)} if settings else dict(identity)


def difference(stored: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """The first difference between two identities, in words; "" if they are equal.

    Examples:
        >>> difference({"ratio": 0.5}, {"ratio": 0.25})
        'ratio is 0.5 there, 0.25 here'
    """
    for key in [*current, *(key for key in stored if key not in current)]:
        if key not in stored or key not in current or stored[key] != current[key]:
            return _words(key, stored, current)
    return ""


def _words(key: str, stored: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    there, here = stored.get(key), current.get(key)
    if key == "model":
        return "the network's weights differ"
    if key == "stages" and there and here:
        differ = (n for n, pair in enumerate(zip(there, here, strict=False)) if pair[0] != pair[1])
        index = next(differ, min(len(there), len(here)) - 1)
        return f"stage {index + 1} differs: {difference(there[index], here[index])}"
    if isinstance(there, Mapping) or isinstance(here, Mapping):
        inner = difference(there or {}, here or {})
        return inner if key == "settings" else f"{key}: {inner}"
    shown = [repr(side[key]) if key in side else "not given" for side in (stored, current)]
    return f"{key} is {shown[0]} there, {shown[1]} here"
