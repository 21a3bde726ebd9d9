"""`recalibrate_`: measure batch normalisation again after a cut, without any training."""

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from openwork._mode import evaluation
from openwork.errors import ArgumentError


def recalibrate_(model: nn.Module, batches: Iterable[Any]) -> nn.Module:
    """Replace the running statistics of every batch normalisation by those over `batches`.

    A cut changes the sums that are normalised, so the statistics of the whole network no longer
    fit. No weight changes.

    Args:
        model: the network. It runs in training mode on each batch; its own mode is restored.
        batches: training images (N, C, H, W), or tuples that begin with them; a few hundred images
            are enough.

    Returns:
        `model` itself.

    Raises:
        ArgumentError: `batches` is empty, and the statistics would be lost. What the model raises
            passes through, and leaves its statistics as they were.
    """
    batch_list = list(batches)
    if not batch_list:
        raise ArgumentError("`batches` is empty; recalibration needs at least one batch")
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    momenta = [(norm, norm.momentum) for norm in model.modules() if isinstance(norm, _BatchNorm)]
    try:
        with evaluation(model):
            update_bn(batch_list, model)
    except BaseException:
        for buffer, before in buffers:
            buffer.copy_(before)
        for norm, momentum in momenta:
            norm.momentum = momentum
        raise
    return model
