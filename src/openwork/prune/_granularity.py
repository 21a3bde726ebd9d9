"""From a granularity's name to its units in a model."""

import torch
from torch import nn

from openwork import models
from openwork.errors import ArgumentError
from openwork.patterns._checks import check_choice
from openwork.prune._feature_maps import feature_map_units
from openwork.prune._kernels import block_units, kernel_units
from openwork.prune._layers import Layers, chosen_layers
from openwork.prune._strided import strided_taps
from openwork.prune._units import Units

GRANULARITIES = ("feature_map", "kernel", "intra_kernel", "block")


def units_of(
    model: nn.Module,
    granularity: str,
    layers: Layers,
    block: tuple[int, int],
    example: torch.Tensor | None,
) -> Units:
    """The units of `granularity` in the layers of `model` that `layers` means.

    Raises:
        ArgumentError: an unknown granularity, or one that does not fit the layers.
        CaptureError: feature maps of a network that torch cannot capture.
    """
    check_choice("granularity", granularity, GRANULARITIES)
    chosen = chosen_layers(model, layers)
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


def example_for(model: nn.Module, example: torch.Tensor | None) -> torch.Tensor | None:
    """`example`, or a batch of the size that a model of `openwork.models` was built for.

    It lies where the model's parameters are.
    """
    source = models.source_of(model)
    if example is None and source is not None:
        example = torch.zeros(2, source.in_channels, source.image_size, source.image_size)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return None if example is None else example.to(device)
