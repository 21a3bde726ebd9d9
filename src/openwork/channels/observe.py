"""`observe`: how many channels training has left dead, and how selective the others are."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from openwork.channels.channel_report import ChannelReport, LayerChannels
from openwork.channels.tally import Tally
from openwork.channels.watch import Watch
from openwork.errors import ArgumentError
from openwork.nn._mode import evaluation


@torch.no_grad()
def observe(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    gamma_below: float = 1e-3,
    activation_below: float = 1e-12,
    selective_below: float = 1e-3,
    optimizer: torch.optim.Optimizer | None = None,
    batch_size: int | None = None,
) -> ChannelReport:
    """Which channels are dead, by the scale of their batch norm and by what they do on data.

    One pass; memory grows with the channels, not with the data.

    Args:
        model: run in evaluation mode, on the device it is on; not changed.
        batches: images `(N, ...)`, or tuples whose first item is that, such as (images, labels).
        gamma_below: a channel is dead by scale if |scale| of its batch norm is below; default 1e-3.
        activation_below: dead by activation if no |number| after its activation exceeds this in
            any image; default 1e-12.
        selective_below: an image does not excite a channel if its largest |number| there is at
            most this share of the largest in any image; default 1e-3. Selectivity is the share of
            images that do not excite, universality that of those that do.
        optimizer, batch_size: that the model was trained with, for the advice; default unknown.

    Raises:
        ArgumentError: `batches` is empty or holds no tensors, or the model has no layer with
            activations.

    Source: thresholds and measures are those of "On Implicit Filter Level Sparsity in
    Convolutional Neural Networks" (2019).
    """
    tallies: dict[str, Tally] = {}

    def record(name: str, largest: torch.Tensor) -> None:
        if name not in tallies:
            tallies[name] = Tally(largest.shape[1], largest.device)
        tallies[name].add(largest)

    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with evaluation(model), Watch(model, record) as watch:
        for batch in batches:
            model(_images(batch).to(device))
            watch.flush()
    if not tallies:
        raise ArgumentError(
            "`batches` is empty, or `model` has neither batch norms nor layers with activations; "
            "there is nothing to observe"
        )
    limits = (gamma_below, activation_below, selective_below)
    layers = tuple(
        _layer(name, model.get_submodule(name), tallies[name], limits)
        for name in watch.order
        if name in tallies
    )
    images = max(tally.images for tally in tallies.values())
    return ChannelReport(layers, images, gamma_below, activation_below, optimizer, batch_size)


def _images(batch: Any) -> torch.Tensor:
    first = batch[0] if isinstance(batch, list | tuple) and batch else batch
    if not isinstance(first, torch.Tensor):
        raise ArgumentError(
            f"`batches` holds a {type(batch).__name__}, but must give tensors, or tuples that "
            "begin with one"
        )
    return first


def _layer(
    name: str, module: nn.Module, tally: Tally, limits: tuple[float, float, float]
) -> LayerChannels:
    gamma_below, activation_below, selective_below = limits
    scale = getattr(module, "weight", None)
    by_scale = None
    if isinstance(module, nn.modules.batchnorm._BatchNorm) and scale is not None:
        by_scale = (scale.detach().abs() < gamma_below).cpu()
    return LayerChannels(
        name,
        by_scale,
        (tally.largest <= activation_below).cpu(),
        tally.universality(selective_below, activation_below).cpu(),
    )
