"""The units of a granularity, by its name."""

import dataclasses
from collections.abc import Mapping

import torch
from torch import nn

from openwork import models
from openwork._arguments import check_choice
from openwork.errors import ArgumentError
from openwork.prune.units.feature_maps import feature_map_units
from openwork.prune.units.forward_pass import trace_forward
from openwork.prune.units.kernels import block_units, kernel_units
from openwork.prune.units.layers import Layer, Layers, chosen_layers, cuttable_layers
from openwork.prune.units.strided import StridedTaps, strided_taps
from openwork.prune.units.units import ConnectionUnits, Units

__all__ = ["GRANULARITIES"]

GRANULARITIES = ("feature_map", "kernel", "intra_kernel", "block")


def units_of(
    model: nn.Module,
    granularity: str,
    layers: Layers,
    block: tuple[int, int],
    example: torch.Tensor | None,
) -> Units:
    """The units of `granularity` in the layers of `model` that `layers` selects.

    Args:
        model: the network.
        granularity: one of `GRANULARITIES`.
        layers: as in `chosen_layers`.
        block: (filters, inputs) of a block.
        example: an input batch (N, ...), or None.

    Raises:
        ArgumentError: an unknown granularity, one that does not fit the layers, or an example
            that the network does not take.
        CaptureError: feature maps of a network that torch cannot capture.
    """
    check_choice("granularity", granularity, GRANULARITIES)
    cuttable = cuttable_layers(model)
    modules = {name: layer.module for name, layer in cuttable.items()}
    forward_pass = None if example is None else trace_forward(model, modules, example)
    chosen = chosen_layers(model, layers, forward_pass)
    units = _units(model, granularity, chosen, block, example)
    if layers is not None:
        return units
    left = _listed([name for name in cuttable if name not in chosen])
    note = f"left whole by default: {left}; `layers` can name them"
    return dataclasses.replace(units, notes=(note, *units.notes))


def _units(
    model: nn.Module,
    granularity: str,
    chosen: Mapping[str, Layer],
    block: tuple[int, int],
    example: torch.Tensor | None,
) -> ConnectionUnits | StridedTaps:
    if granularity == "kernel":
        return kernel_units(chosen)
    if granularity == "block":
        return block_units(chosen, block)
    if granularity == "intra_kernel":
        return strided_taps(chosen)
    if example is None:
        raise ArgumentError(
            "`example`=None, but `granularity`='feature_map' must follow each map through the "
            "network; pass an input batch, or cut kernels"
        )
    return feature_map_units(model, chosen, example)


def _listed(names: list[str]) -> str:
    shown = names if len(names) <= 8 else [*names[:7], f"{len(names) - 7} more"]
    return ", ".join(shown)


def example_for(model: nn.Module, example: torch.Tensor | None) -> torch.Tensor | None:
    """`example`, or a batch of the size that a model of `openwork.models` was built for.

    Args:
        model: the network.
        example: an input batch (N, ...), or None.

    Returns:
        The batch (N, ...), on the device and of the dtype of the model's parameters; None if
        there is none.

    Raises:
        ArgumentError: `example` is not a tensor, or holds no image.
    """
    if example is not None and not (isinstance(example, torch.Tensor) and example.ndim > 1):
        raise ArgumentError(
            f"`example` must be an input batch, a tensor (N, ...), but is {_described(example)}"
        )
    if example is not None and not len(example):
        raise ArgumentError(f"`example` of shape {tuple(example.shape)} holds no image")
    source = models.source_of(model)
    if example is None and source is not None:
        example = torch.zeros(2, source.in_channels, source.image_size, source.image_size)
    first = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    return None if example is None else example.to(first.device, first.dtype)


def _described(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"
