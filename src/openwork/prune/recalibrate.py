"""`recalibrate_`: batch normalisation measured anew after a cut, without any training."""

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim.swa_utils import update_bn

from openwork.errors import ArgumentError
from openwork.nn._mode import evaluation


def recalibrate_(model: nn.Module, batches: Iterable[Any]) -> nn.Module:
    """Replace the running statistics of every batch normalisation by those over `batches`.

    A cut changes the sums that normalisation sees, and the statistics of the whole network no
    longer fit. No weight changes.

    Args:
        model: in any mode, which it keeps; it runs in training mode on each batch.
        batches: inputs, or tuples that begin with them, of training images; some hundreds of
            images are enough.

    Returns:
        `model` itself.

    Raises:
        ArgumentError: `batches` is empty, and the statistics would be lost.
    """
    held = list(batches)
    if not held:
        raise ArgumentError("`batches` is empty; recalibration needs at least one batch")
    with evaluation(model):
        update_bn(held, model)
    return model
