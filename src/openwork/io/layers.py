"""The sparse layers of a model, as a checkpoint stores them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.nn.drawn_from import DrawnFrom
from openwork.nn.kinds.to_sparse import to_sparse
from openwork.nn.layers import Dense, replace, sparse_layers
from openwork.patterns import Pattern


def describe_layers(model: nn.Module) -> dict[str, Any]:
    """The header's entry for the sparse layers; their `gaps` are among the tensors."""
    return {
        name: {
            "shape": list(layer.shape),
            "groups": layer.groups,
            "whole": layer.pattern.whole,
            "origin": layer.origin.to_dict() if layer.origin else None,
        }
        for name, layer in sparse_layers(model).items()
    }


def restore_layers_(
    model: nn.Module, layers: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> nn.Module:
    """Put sparse layers where `layers` says, with the patterns in `tensors`; all are checked.

    Returns `model`, or the sparse layer that replaces it if the model is a single layer.
    """
    modules = dict(model.named_modules())
    replacements: dict[nn.Module, nn.Module] = {}
    for name, entry in layers.items():
        pattern = Pattern.from_gaps(
            entry["shape"],
            tensors[f"{name}.gaps" if name else "gaps"].numpy(),
            whole=entry["whole"],
            groups=entry["groups"],
        )
        module = modules.get(name)
        if not isinstance(module, Dense):
            kind = "nothing" if module is None else type(module).__name__
            raise ArgumentError(f"layer {name!r} must be a convolution or linear, found {kind}")
        sparse = to_sparse(module, pattern)
        # Files of version 0.1.0 have no origin.
        if entry.get("origin"):
            sparse.origin = DrawnFrom.from_dict(entry["origin"])
        replacements[module] = sparse
    replace(model, replacements)
    return replacements.get(model, model)
