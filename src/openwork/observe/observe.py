"""`observe`: how many channels training has left dead, and how selective the others are."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from openwork._arguments import check_count, check_model, check_optimizer_kind, check_threshold
from openwork._mode import evaluation
from openwork.errors import ArgumentError
from openwork.observe.histogram import Tally
from openwork.observe.recorder import Watch
from openwork.observe.report import ChannelReport, LayerChannels


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
            A batch of no images is passed over.
        gamma_below: a channel is dead by scale if |scale| of its batch norm is below; default 1e-3.
        activation_below: dead by activation if no |number| after its activation exceeds this in
            any image; default 1e-12.
        selective_below: an image does not excite a channel if its largest |number| there is at
            most this share of the largest in any image; default 1e-3. Selectivity is the share of
            images that do not excite, universality that of those that do.
        optimizer, batch_size: that the model was trained with, for the advice; default unknown.

    Raises:
        ArgumentError: `batches` is empty, is a single tensor or holds something else, or a layer
            becomes NaN or infinite on it; the model has neither batch norms nor layers with
            activations; a threshold is no number of at least 0.

    Source: thresholds and measures are those of "On Implicit Filter Level Sparsity in
    Convolutional Neural Networks" (2019).
    """
    limits = (gamma_below, activation_below, selective_below)
    _check(model, limits, optimizer, batch_size)
    tallies: dict[str, Tally] = {}

    def record(name: str, largest: torch.Tensor) -> None:
        if name not in tallies:
            tallies[name] = Tally(largest.shape[1], largest.device)
        tallies[name].add(largest)

    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    count = 0
    with evaluation(model), Watch(model, record) as watch:
        for images in _images(batches):
            model(images.to(device))
            watch.flush()
            count += len(images)
            _check_finite(tallies, watch.order)
    if not count:
        raise ArgumentError("`batches` is empty: it holds no images; there is nothing to observe")
    if not tallies:
        raise ArgumentError(
            f"`model` ({type(model).__name__}) has neither batch norms nor convolutions or linear "
            "layers that an activation such as relu follows, at once or behind pooling and "
            "dropout; there is nothing to observe"
        )
    layers = tuple(
        _layer(name, model.get_submodule(name), tallies[name], limits)
        for name in watch.order
        if name in tallies
    )
    return ChannelReport(layers, count, gamma_below, activation_below, optimizer, batch_size)


def _check(
    model: nn.Module,
    limits: tuple[float, float, float],
    optimizer: torch.optim.Optimizer | None,
    batch_size: int | None,
) -> None:
    check_model(model)
    names = ("gamma_below", "activation_below", "selective_below")
    for name, value in zip(names, limits, strict=True):
        check_threshold(name, value)
    if optimizer is not None:
        check_optimizer_kind(optimizer)
    if batch_size is not None:
        check_count("batch_size", batch_size)


def _images(batches: Any) -> Iterator[torch.Tensor]:
    """The images of each batch that has any."""
    if isinstance(batches, torch.Tensor):
        raise ArgumentError(
            f"`batches` is one tensor {tuple(batches.shape)}, but must hold batches; put it into "
            "a list: [images]"
        )
    if not isinstance(batches, Iterable):
        raise ArgumentError(
            f"`batches` is a {type(batches).__name__}, but must hold batches, as a list or a "
            "DataLoader does"
        )
    for batch in batches:
        first = batch[0] if isinstance(batch, list | tuple) and batch else batch
        if not isinstance(first, torch.Tensor) or not first.dim():
            raise ArgumentError(
                f"`batches` holds a {type(batch).__name__}, but must give tensors (N, ...), or "
                "tuples that begin with one"
            )
        if len(first):
            yield first


def _check_finite(tallies: dict[str, Tally], order: Iterable[str]) -> None:
    for name in order:
        if name in tallies and not tallies[name].largest.isfinite().all():
            raise ArgumentError(
                f"layer {name!r} gives NaN or infinite numbers on `batches`; check the images, and "
                "the weights up to that layer"
            )


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
