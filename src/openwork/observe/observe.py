"""`observe`: how many channels training has left dead, and how selective the others are."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from openwork._arguments import check_count, check_open, check_optimizer_kind, check_threshold
from openwork._call import Call, call_of_batch, check_batches, taken
from openwork._mode import evaluation
from openwork._nested import flatten
from openwork._unchanged import unchanged
from openwork.errors import ArgumentError
from openwork.nn.kinds.reparametrised import reparametrised
from openwork.observe.histogram import RunningHistogram
from openwork.observe.recorder import ActivationRecorder
from openwork.observe.report import ChannelReport, LayerChannels


@dataclass(frozen=True)
class _Thresholds:
    """When a channel is dead or selective; each is described in `observe`."""

    gamma_below: float
    activation_below: float
    selective_below: float


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
    """Which channels are dead, by the scales of batch norms and by activations on data.

    One pass; memory grows with the channels, not with the data.

    Args:
        model: run in evaluation mode, on the device it is on; not changed.
        batches: images `(N, ...)`, or tuples that begin with the network's inputs, such as
            (images, labels) or (left, right, labels), or dicts of them. Empty batches are skipped.
        gamma_below: a channel is dead by scale if |scale| of its batch norm is below; default 1e-3.
        activation_below: dead by activation if no |number| after its activation exceeds this in
            any image; default 1e-12.
        selective_below: an image excites a channel if the largest |number| there exceeds this
            share of the largest in any image; default 1e-3. Universality is the share of images
            that excite a channel, selectivity the share of those that do not.
        optimizer, batch_size: with which the model was trained, for the advice; default unknown.

    Raises:
        ArgumentError: `batches` is empty, is a single tensor or holds something else, or a layer
            becomes NaN or infinite on it; the model has neither batch norms nor layers with
            activations; a threshold is not a number of at least 0.

    Source: thresholds and measures are those of "On Implicit Filter Level Sparsity in
    Convolutional Neural Networks" (2019).
    """
    thresholds = _Thresholds(gamma_below, activation_below, selective_below)
    _check(model, thresholds, optimizer, batch_size)
    histograms: dict[str, RunningHistogram] = {}

    def add(name: str, largest: torch.Tensor) -> None:
        if name not in histograms:
            histograms[name] = RunningHistogram(largest.shape[1], largest.device)
        histograms[name].add(largest)

    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    count = 0
    with unchanged(model), evaluation(model), ActivationRecorder(model, add) as recorder:
        for call in _calls(model, batches):
            with taken(call, "batches"):
                call.to(device).run(model)
            recorder.flush()
            count += call.images
            _check_finite(histograms, recorder.order)
    if not count:
        raise ArgumentError("`batches` is empty: it holds no images; there is nothing to observe")
    if not histograms:
        raise ArgumentError(
            f"`model` ({type(model).__name__}) has neither batch norms nor convolutions or linear "
            "layers that an activation such as relu follows, directly or after pooling and "
            "dropout; there is nothing to observe"
        )
    layers = tuple(
        _layer(name, model.get_submodule(name), histograms[name], thresholds)
        for name in recorder.order
        if name in histograms
    )
    reasons = {name: reparametrised(m, masks=False) for name, m in model.named_modules()}
    stay = {name: why for name, why in reasons.items() if why is not None}
    return ChannelReport(layers, count, gamma_below, activation_below, optimizer, batch_size, stay)


def _check(
    model: nn.Module,
    thresholds: _Thresholds,
    optimizer: torch.optim.Optimizer | None,
    batch_size: int | None,
) -> None:
    check_open(model)
    for name, value in vars(thresholds).items():
        check_threshold(name, value)
    if optimizer is not None:
        check_optimizer_kind(optimizer)
    if batch_size is not None:
        check_count("batch_size", batch_size)


def _calls(model: nn.Module, batches: Any) -> Iterator[Call]:
    """The inputs `(N, ...)` of each batch that is not empty."""
    check_batches(batches)
    for batch in batches:
        held, _ = flatten(batch)
        if not any(isinstance(each, torch.Tensor) and each.dim() for each in held):
            raise ArgumentError(
                f"`batches` holds a {type(batch).__name__}, but must give tensors (N, ...), or "
                "tuples that begin with one"
            )
        call = call_of_batch(model, batch)
        if call.images:
            yield call


def _check_finite(histograms: dict[str, RunningHistogram], order: Iterable[str]) -> None:
    for name in order:
        if name in histograms and not histograms[name].largest.isfinite().all():
            raise ArgumentError(
                f"layer {name!r} gives NaN or infinite numbers on `batches`; check the images, and "
                "the weights up to that layer"
            )


def _layer(
    name: str, module: nn.Module, histogram: RunningHistogram, thresholds: _Thresholds
) -> LayerChannels:
    """What was seen of one layer; its masks and shares are (channels,)."""
    scale = getattr(module, "weight", None)
    by_scale = None
    if isinstance(module, nn.modules.batchnorm._BatchNorm) and scale is not None:
        by_scale = (scale.detach().abs() < thresholds.gamma_below).cpu()
    return LayerChannels(
        name,
        by_scale,
        (histogram.largest <= thresholds.activation_below).cpu(),
        histogram.universality(thresholds.selective_below, thresholds.activation_below).cpu(),
    )
