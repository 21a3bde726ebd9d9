"""`recalibrate_`: measure batch normalisation again after a cut, without any training."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from openwork._arguments import check_model
from openwork._call import call_of_batch, check_batches
from openwork._unchanged import unchanged
from openwork.errors import ArgumentError


def recalibrate_(model: nn.Module, batches: Iterable[Any]) -> nn.Module:
    """Replace the running statistics of every batch normalisation by those over `batches`.

    A cut changes the sums that are normalised, so the statistics of the whole network no longer
    fit. No weight changes.

    Args:
        model: the network. It runs in training mode on each batch; nothing else of it changes.
        batches: training images (N, C, H, W), or tuples that begin with the network's inputs; a few
            hundred images are enough.

    Returns:
        `model` itself.

    Raises:
        ArgumentError: `batches` is empty or holds no batches, or gives statistics that are NaN or
            infinite. Those of the model are then as they were, also if it raises an error itself,
            which passes through.
    """
    check_model(model)
    check_batches(batches)
    first = next(iter([*model.parameters(), *model.buffers()]), torch.empty(0))
    found = (call_of_batch(model, batch).to(first.device) for batch in batches)
    calls = [call for call in found if call.images]
    if not calls:
        raise ArgumentError("`batches` is empty; recalibration needs at least one batch")
    norms = [norm for norm in model.modules() if isinstance(norm, _BatchNorm)]
    with torch.no_grad():
        with unchanged(model):
            model.train()
            for norm in norms:
                norm.reset_running_stats()
                # None averages over all batches.
                norm.momentum = None
            for call in calls:
                call.run(model)
            measured = [[buffer.clone() for buffer in norm.buffers()] for norm in norms]
        if not all(buffer.isfinite().all() for buffers in measured for buffer in buffers):
            raise ArgumentError(
                "`batches` give statistics that are NaN or infinite; leave out images that hold "
                "such numbers, or find the layer whose weights do. The network is as it was"
            )
        for norm, statistics in zip(norms, measured, strict=True):
            for buffer, value in zip(norm.buffers(), statistics, strict=True):
                buffer.copy_(value)
    return model
