"""Whether a network and a data set go together, found out before anything is run on all of it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from openwork._arguments import check_module
from openwork._mode import evaluation
from openwork._terminal import counted
from openwork._unchanged import unchanged
from openwork.data.batches import Batches
from openwork.data.split import DataSet, Split
from openwork.errors import ArgumentError, OpenworkError, first_line
from openwork.runtime.batch_sizes import BatchSizes

__all__ = ["check_logits", "outputs_of"]

# Sizes that are tried before a network is called with more images than there are.
_TRIED = 4096


@torch.no_grad()
def check_fits(model: nn.Module, data: DataSet, *, exact: bool = True) -> None:
    """Run `model` on an image of `data`, and compare its outputs with the classes.

    Args:
        model: images `(N, C, H, W)` -> logits `(N, classes)`; it is not changed.
        data: the data set.
        exact: whether there must be one output per class (default); otherwise there may be more.

    Raises:
        ArgumentError: the model does not take such images, does not return logits, or has another
            number of outputs than `data` has classes.
    """
    check_module(model)
    shape = data.test.images.shape[1:]
    # Two, because a network may squeeze a batch of one.
    image = np.repeat(np.asarray(data.test.images[:1]), 2, axis=0)
    where = next((p.device for p in model.parameters()), torch.device("cpu"))
    pair = Split(image, np.repeat(np.asarray(data.test.labels[:1]), 2))
    batch = next(Batches.in_order(pair, data.mean, data.std, device=where).epoch(0))
    try:
        with unchanged(model), evaluation(model):
            outputs = outputs_of(model, batch.images)
    except OpenworkError:
        raise
    except Exception as error:
        # Any kind: what a network makes of images that it was not built for is up to its code.
        size = "x".join(map(str, shape))
        raise ArgumentError(
            f"`model` does not take the images of `data`={data.name!r}, {size} "
            f"(channels x height x width): {type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(outputs, torch.Tensor) or outputs.ndim != 2 or len(outputs) != 2:
        what = _described(outputs)
        raise ArgumentError(
            f"`model` returns {what} for 2 images of `data`={data.name!r}; it must return one "
            f"tensor of logits, here of shape (2, {data.num_classes})"
        )
    count = outputs.shape[1]
    if count < data.num_classes or (exact and count != data.num_classes):
        raise ArgumentError(
            f"`model` has {counted(count, 'output')}, but `data`={data.name!r} has "
            f"{counted(data.num_classes, 'class', 'classes')}; use a network and a data set of the "
            "same classes"
        )


def check_logits(outputs: Any, batches: Batches) -> None:
    """Check that what a network returned has an output for each label of `batches`.

    Raises:
        ArgumentError: it is not a tensor (N, classes), or it has fewer outputs.
    """
    if not isinstance(outputs, torch.Tensor) or outputs.ndim != 2:
        raise ArgumentError(
            f"`model` returns {_described(outputs)}; it must return one tensor of logits "
            "(N, classes)"
        )
    batches.check_outputs(outputs)


def outputs_of(model: nn.Module, images: torch.Tensor) -> Any:
    """`model(images)`, also where a compiled network takes only some batch sizes.

    Args:
        model: any module.
        images: `(N, C, H, W)`. If the network does not take N images, it is called with a
            number that it takes, repeating the last image where needed, and the outputs are joined.
    """
    sizes = getattr(model, "batches", None)
    count = len(images)
    if not isinstance(sizes, BatchSizes) or count in sizes or not count:
        return model(images)
    size = _size_for(sizes, count)
    if size is None:
        return model(images)
    calls = math.ceil(count / size)
    filled = torch.cat([images, images[-1:].expand(calls * size - count, *images.shape[1:])])
    parts: Sequence[Any] = [model(part) for part in filled.split(size)]
    if not all(isinstance(part, torch.Tensor) for part in parts):
        return parts[0]
    return torch.cat(list(parts))[:count]


def _size_for(sizes: BatchSizes, count: int) -> int | None:
    """The largest size up to `count` that is accepted, else the smallest above it."""
    below = (size for size in range(count, 0, -1) if size in sizes)
    above = (size for size in range(count + 1, max(count, sizes.least) + _TRIED) if size in sizes)
    return next(below, None) or next(above, None)


def _described(outputs: Any) -> str:
    if isinstance(outputs, torch.Tensor):
        return f"a tensor of shape {tuple(outputs.shape)}"
    return f"a {type(outputs).__name__}"
