"""What makes a run this run: noted down in its files, compared before going on from them."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def digest_of(model: nn.Module) -> str:
    """SHA-256 over names and values of everything in the state of `model`, in hexadecimal."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        if not isinstance(value, torch.Tensor):
            # What `get_extra_state` gives may be anything.
            digest.update(f"{name} {value!r}".encode())
            continue
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def difference(stored: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """The first thing in which two identities differ, in plain words; "" if in nothing."""
    for key in [*own, *(key for key in stored if key not in own)]:
        if key not in stored or key not in own or stored[key] != own[key]:
            return _words(key, stored, own)
    return ""


def _words(key: str, stored: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    there, here = stored.get(key), own.get(key)
    if key == "model":
        return "the network's weights differ"
    if key == "stages" and there and here:
        differ = (n for n, pair in enumerate(zip(there, here, strict=False)) if pair[0] != pair[1])
        index = next(differ, min(len(there), len(here)) - 1)
        return f"stage {index + 1} differs: {difference(there[index], here[index])}"
    if isinstance(there, Mapping) or isinstance(here, Mapping):
        inner = difference(there or {}, here or {})
        return inner if key == "settings" else f"{key}: {inner}"
    shown = [repr(side[key]) if key in side else "not given" for side in (stored, own)]
    return f"{key} is {shown[0]} there, {shown[1]} here"
