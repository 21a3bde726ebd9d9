"""The sparse layers of a model, as a checkpoint stores them."""

import copy
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.nn.change.exchange import exchange_
from openwork.nn.drawn_from import DrawnFrom
from openwork.nn.kinds.to_sparse import to_sparse
from openwork.nn.layers import Dense, sparse_layers
from openwork.nn.sparse_layer import SparseLayer
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
        sparse = twin_of(module, pattern)
        # Files of version 0.1.0 have no origin.
        if entry.get("origin"):
            sparse.origin = DrawnFrom.from_dict(entry["origin"])
        replacements[module] = sparse
    exchange_(model, replacements, (), "load")
    return replacements.get(model, model)


def twin_of(layer: Dense | SparseLayer, pattern: Pattern) -> SparseLayer:
    """A sparse layer like `layer` with another `pattern`, and zeros for weights to be loaded."""
    dense: nn.Module = layer.to_dense() if isinstance(layer, SparseLayer) else copy.copy(layer)
    # Zeros, because a layer is checked for NaN before it becomes sparse.
    vars(dense)["_parameters"] = {
        name: None if held is None else nn.Parameter(torch.zeros_like(held), held.requires_grad)
        for name, held in dense._parameters.items()
    }
    twin = to_sparse(cast(Dense, dense), pattern)
    twin.origin = layer.origin if isinstance(layer, SparseLayer) else None
    return twin
