"""Layers whose channel counts differ from how they were built, and how that is recorded."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from openwork._arguments import check_count
from openwork.errors import ArgumentError
from openwork.nn.kinds.sparse_conv1d import SparseConv1d
from openwork.nn.layers import replace
from openwork.nn.sparse_conv2d import SparseConv2d
from openwork.nn.sparse_layer import SparseLayer
from openwork.nn.sparse_linear import SparseLinear
from openwork.patterns import Pattern

__all__ = [
    "Zeros",
    "describe_resized",
    "mark_resized",
    "restore_resized_",
    "set_pattern_",
    "unsaved_buffers",
]

# Set on a resized module: its shapes must be restored when the model is rebuilt.
_ATTRIBUTE = "openwork_channels"


class Zeros(nn.Module):
    """Replaces a layer whose output is always zero: zeros of the shape of the input."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(input)


def mark_resized(module: nn.Module, groups: int | None = None) -> None:
    """Mark `module` as resized, and update its channel counts to the shapes of its tensors.

    Args:
        module: its parameters and buffers already have their new shapes.
        groups: new groups of a convolution, or None if unchanged.
    """
    if groups is not None:
        setattr(module, _groups_attribute(module), groups)
    _count(module)
    setattr(module, _ATTRIBUTE, True)


def is_resized(module: nn.Module) -> bool:
    """Whether channels of `module` were cut."""
    return getattr(module, _ATTRIBUTE, False)


def describe_resized(model: nn.Module) -> dict[str, Any]:
    """The tensor shapes and groups of each resized module, by name; plain data."""
    return {
        name: _describe(module)
        for name, module in model.named_modules()
        if isinstance(module, Zeros) or is_resized(module)
    }


def unsaved_buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    """Buffers of resized modules that the `state_dict` of `model` leaves out, by name.

    They must be saved too: a rebuilt model has them with the channels that were removed.
    """
    return {
        f"{name}.{key}" if name else key: buffer
        for name, module in model.named_modules()
        if is_resized(module)
        for key, buffer in module.named_buffers(recurse=False)
        if key in module._non_persistent_buffers_set
    }


def restore_resized_(
    model: nn.Module, resized: Mapping[str, Any], tensors: dict[str, torch.Tensor] | None = None
) -> None:
    """Give modules of `model` the shapes that `describe_resized` recorded, in place.

    Args:
        model: the model as built.
        resized: the result of `describe_resized`.
        tensors: tensors by name, default none; those of `unsaved_buffers` are moved from it into
            `model`.

    Raises:
        ArgumentError: `model` lacks a module, the groups are not a whole number of at least 1, or
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
        for key, shape in entry["shapes"].items():
            if key in module._non_persistent_buffers_set:
                _put_buffer(module, key, shape, tensors.pop(f"{name}.{key}" if name else key, None))
            else:
                _reshape(module, key, shape)
        groups = entry["groups"]
        mark_resized(module, None if groups is None else check_count("groups", groups))
    replace(model, zeros)


@torch.no_grad()
def set_pattern_(layer: SparseLayer, pattern: Pattern, weight: torch.Tensor) -> None:
    """Give `layer` another pattern, of any shape, and the live weights `weight` (live,)."""
    layer.shape, layer.groups, layer._whole = pattern.shape, pattern.groups, pattern.whole
    # The origin is for the old shape, so `grow_` cannot continue from it.
    layer.origin = None
    layer.gaps = torch.from_numpy(pattern.gaps.copy()).to(layer.gaps.device)
    layer.weight.data = weight.to(layer.weight)
    out, inside = pattern.out_channels, pattern.in_channels
    if isinstance(layer, SparseConv1d | SparseConv2d):
        layer.out_channels, layer.in_channels = out, inside
    elif isinstance(layer, SparseLinear):
        layer.out_features, layer.in_features = out, inside


def _describe(module: nn.Module) -> dict[str, Any]:
    if isinstance(module, Zeros):
        return {"zeros": True}
    tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    shapes = {name: list(tensor.shape) for name, tensor in tensors}
    if isinstance(module, SparseLayer):
        # Those of the dense layer, which is rebuilt first.
        one_row = isinstance(module, SparseConv1d)
        shapes["weight"] = [*module.shape[:2], *module.shape[3 if one_row else 2 :]]
        del shapes["gaps"]
    return {"shapes": shapes, "groups": getattr(module, _groups_attribute(module), None)}


def _groups_attribute(module: nn.Module) -> str:
    """The attribute in which `module` keeps its groups; timm's blurs have one per channel."""
    is_conv = isinstance(module, nn.modules.conv._ConvNd | SparseLayer)
    return "groups" if is_conv or not hasattr(module, "channels") else "channels"


def _reshape(module: nn.Module, name: str, shape: list[int]) -> None:
    tensor = module._parameters.get(name, module._buffers.get(name))
    if tensor is not None:
        # Zeros, because a layer is checked for NaN before it becomes sparse.
        tensor.data = torch.zeros(shape, dtype=tensor.dtype, device=tensor.device)
        return
    if name not in module._parameters:
        raise ArgumentError(f"a {type(module).__name__} of the model has no {name!r}")
    other = next(module.parameters(recurse=False))
    zeros = torch.zeros(shape, dtype=other.dtype, device=other.device)
    module.register_parameter(name, nn.Parameter(zeros))


def _put_buffer(
    module: nn.Module, name: str, shape: list[int], buffer: torch.Tensor | None
) -> None:
    """Put `buffer` into `module`; only a resized buffer must have been saved."""
    current = module._buffers[name]
    if current is not None and buffer is not None:
        current.data = buffer.to(current)
    elif current is None or list(current.shape) != shape:
        raise ArgumentError(
            f"the buffer {name!r} of a {type(module).__name__} had channels removed but was not "
            "saved; compact the original model again and save the result"
        )


def _count(module: nn.Module) -> None:
    """Update the channel counts that `module` keeps as attributes."""
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
        values = module.weight if module.weight is not None else module.running_mean
        module.num_features = len(values)  # type: ignore[arg-type]
    elif isinstance(module, nn.GroupNorm):
        # Whole groups are removed, so that the others keep their statistics.
        width = module.num_channels // module.num_groups
        module.num_channels = len(module.weight)
        module.num_groups = module.num_channels // width
