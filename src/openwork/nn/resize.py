"""Layers of other channel counts than they were built with, and how that is noted down."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from openwork._arguments import check_count
from openwork.errors import ArgumentError
from openwork.nn.layers import replace
from openwork.nn.sparse_conv2d import SparseConv2d
from openwork.nn.sparse_layer import SparseLayer
from openwork.nn.sparse_linear import SparseLinear
from openwork.patterns import Pattern

# On a module that was resized: what must be told to whoever builds it anew.
_ATTRIBUTE = "openwork_channels"


class Zeros(nn.Module):
    """In place of a layer whose output is zero for every input, of the input's own shape."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(input)


def mark_resized(module: nn.Module, groups: int | None = None) -> None:
    """Note on `module` that its tensors have other shapes now, and bring its counts into line.

    Args:
        module: whose parameters and buffers have their new shapes already.
        groups: of a convolution, if they changed.
    """
    if groups is not None:
        setattr(module, _groups_attribute(module), groups)
    _count(module)
    setattr(module, _ATTRIBUTE, True)


def describe_resized(model: nn.Module) -> dict[str, Any]:
    """Of each resized module: the shapes of its tensors, and groups; plain data."""
    return {
        name: _describe(module)
        for name, module in model.named_modules()
        if isinstance(module, Zeros) or getattr(module, _ATTRIBUTE, False)
    }


def unsaved_buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """Of the resized modules, the buffers that the state of `model` leaves out, by name.

    Whoever builds the model anew has them with channels that are gone.
    """
    return {
        f"{name}.{own}" if name else own: buffer
        for name, module in model.named_modules()
        if getattr(module, _ATTRIBUTE, False)
        for own, buffer in module.named_buffers(recurse=False)
        if own in module._non_persistent_buffers_set
    }


def restore_resized_(
    model: nn.Module, resized: Mapping[str, Any], tensors: dict[str, torch.Tensor] | None = None
) -> None:
    """Give modules of `model` the shapes that `describe_resized` noted down, in place.

    Args:
        model: as it was built.
        resized: what `describe_resized` gave.
        tensors: by name; those of `unsaved_buffers` are put in and taken out. Default none.

    Raises:
        ArgumentError: `model` has no such module, the groups are no number of at least 1, or
            `tensors` lacks a buffer that was resized.
    """
    tensors = {} if tensors is None else tensors
    modules = dict(model.named_modules())
    zeros: dict[nn.Module, nn.Module] = {}
    for name, entry in resized.items():
        if name not in modules:
            raise ArgumentError(f"layer {name!r} is not in the model")
        module = modules[name]
        if entry.get("zeros"):
            zeros[module] = Zeros()
            continue
        for own, shape in entry["shapes"].items():
            if own in module._non_persistent_buffers_set:
                _put_buffer(module, own, shape, tensors.pop(f"{name}.{own}" if name else own, None))
            else:
                _reshape(module, own, shape)
        groups = entry["groups"]
        mark_resized(module, None if groups is None else check_count("groups", groups))
    replace(model, zeros)


@torch.no_grad()
def set_pattern_(layer: SparseLayer, pattern: Pattern, weight: torch.Tensor) -> None:
    """Give `layer` another pattern, of any shape, and the live weights `weight` (live,)."""
    layer.shape, layer.groups, layer._whole = pattern.shape, pattern.groups, pattern.whole
    # It was drawn for another shape, and cannot be drawn on with.
    layer.origin = None
    layer.gaps = torch.from_numpy(pattern.gaps.copy()).to(layer.gaps.device)
    layer.weight.data = weight.to(layer.weight)
    out, inside = pattern.out_channels, pattern.in_channels
    if isinstance(layer, SparseConv2d):
        layer.out_channels, layer.in_channels = out, inside
    elif isinstance(layer, SparseLinear):
        layer.out_features, layer.in_features = out, inside


def _describe(module: nn.Module) -> dict[str, Any]:
    if isinstance(module, Zeros):
        return {"zeros": True}
    held = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    shapes = {name: list(tensor.shape) for name, tensor in held}
    if isinstance(module, SparseLayer):
        shapes["weight"] = list(module.shape)
        del shapes["gaps"]
    return {"shapes": shapes, "groups": getattr(module, _groups_attribute(module), None)}


def _groups_attribute(module: nn.Module) -> str:
    """Under which name `module` keeps its groups; timm's blurs have one a channel."""
    own = isinstance(module, nn.modules.conv._ConvNd | SparseLayer)
    return "groups" if own or not hasattr(module, "channels") else "channels"


def _reshape(module: nn.Module, name: str, shape: list[int]) -> None:
    held = module._parameters.get(name, module._buffers.get(name))
    if held is not None:
        # Zeros, because a layer is checked for NaN before it becomes sparse.
        held.data = torch.zeros(shape, dtype=held.dtype, device=held.device)
        return
    if name not in module._parameters:
        raise ArgumentError(f"a {type(module).__name__} of the model has no {name!r}")
    other = next(module.parameters(recurse=False))
    zeros = torch.zeros(shape, dtype=other.dtype, device=other.device)
    module.register_parameter(name, nn.Parameter(zeros))


def _put_buffer(
    module: nn.Module, name: str, shape: list[int], buffer: torch.Tensor | None
) -> None:
    """Put `buffer` into `module`; what was not resized need not have been saved."""
    held = module._buffers[name]
    if held is not None and buffer is not None:
        held.data = buffer.to(held)
    elif held is None or list(held.shape) != shape:
        raise ArgumentError(
            f"the buffer {name!r} of a {type(module).__name__} had channels taken out, and was "
            "not saved with it; compact the model anew and save that"
        )


def _count(module: nn.Module) -> None:
    """Set the numbers of channels that `module` keeps beside its tensors."""
    if isinstance(module, SparseLayer):
        return
    if isinstance(module, nn.modules.conv._ConvNd):
        first, second = module.weight.shape[0], module.weight.shape[1] * module.groups
        turned = module.transposed
        module.in_channels, module.out_channels = (first, second) if turned else (second, first)
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.PReLU):
        module.num_parameters = module.weight.numel()
    elif isinstance(module, nn.modules.batchnorm._NormBase):
        held = module.weight if module.weight is not None else module.running_mean
        module.num_features = len(held)  # type: ignore[arg-type]
