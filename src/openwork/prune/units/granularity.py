"""The units of a granularity, by its name."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from openwork import models
from openwork._arguments import check_choice, check_open
from openwork._call import Call, call_of
from openwork.errors import ArgumentError, PlanError
from openwork.nn.layers import by_reason, left_layers
from openwork.prune.units.feature_maps import feature_map_units
from openwork.prune.units.forward_pass import trace_forward
from openwork.prune.units.kernels import block_units, kernel_units
from openwork.prune.units.layers import Layer, Layers, chosen_layers, cuttable_layers
from openwork.prune.units.strided import StridedTaps, strided_taps
from openwork.prune.units.units import ConnectionUnits, Units

__all__ = ["GRANULARITIES"]

_READ_ELSEWHERE = (
    "code outside the layer reads its weight, for example where an encoder's is used again"
)
GRANULARITIES = ("feature_map", "kernel", "intra_kernel", "block")


def units_of(
    model: nn.Module,
    granularity: str,
    layers: Layers,
    block: tuple[int, int],
    example: Any,
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
    check_open(model)
    check_choice("granularity", granularity, GRANULARITIES)
    cuttable = cuttable_layers(model)
    modules = {name: layer.module for name, layer in cuttable.items()}
    forward_pass = None if example is None else trace_forward(model, modules, example)
    selected = chosen_layers(model, layers, forward_pass)
    read = frozenset() if forward_pass is None else forward_pass.read_elsewhere
    chosen = {name: layer for name, layer in selected.items() if name not in read}
    if not chosen:
        raise PlanError(
            f"`layers` selects only {_listed(list(selected))}, which stay dense: {_READ_ELSEWHERE}"
        )
    units = _units(model, granularity, chosen, block, example)
    notes = []
    if layers is None:
        left = _listed([name for name in cuttable if name not in selected])
        notes.append(f"left whole by default: {left}; `layers` can name them")
    reasons = {name: _READ_ELSEWHERE for name in selected if name in read}
    reasons |= {name: why for name, why in left_layers(model).items() if name not in cuttable}
    notes += [f"left whole: {names}: {why}" for names, why in by_reason(reasons)]
    return dataclasses.replace(units, notes=(*notes, *units.notes))


def _units(
    model: nn.Module,
    granularity: str,
    chosen: Mapping[str, Layer],
    block: tuple[int, int],
    example: Any,
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


def example_for(model: nn.Module, example: Any) -> Call | None:
    """`example`, or a batch of the size that a model of `openwork.models` was built for.

    Args:
        model: the network.
        example: an input batch (N, ...), several inputs, or None.

    Returns:
        The batch (N, ...), on the device and of the dtype of the model's parameters; None if
        there is none.

    Raises:
        ArgumentError: `example` holds no tensor, or no image.
    """
    check_open(model)
    call = None if example is None else call_of(model, example)
    if call is not None and (not call.images or (len(call) == 1 and call[0].dim() < 2)):
        raise ArgumentError(
            f"`example` of shape {tuple(call[0].shape)} holds no image; it must be an input batch "
            "(N, ...)"
        )
    source = models.source_of(model)
    if example is None and source is not None:
        size = source.image_size
        call = Call(torch.zeros(2, source.in_channels, size, size))
    first = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    return None if call is None else call.to(first.device, first.dtype)
