"""Batches and images of other sizes: whether a captured network computes the same for them."""

import dataclasses

import torch
from torch import nn

from openwork._call import Call
from openwork.capture import BatchSizes
from openwork.quantize.net import Net
from openwork.verify import difference, outputs, with_batch_size

# Of an error of float32, over the largest output.
_TOLERANCE = 1e-3


def batches_of(model: nn.Module, net: Net, call: Call, batches: BatchSizes) -> BatchSizes:
    """Those of `batches` that `net` takes; torch does not say whether one is among them.

    Args:
        model: the network, in evaluation mode.
        net: the same, captured.
        call: an example; tensors `(N, ...)`.
        batches: what torch says.
    """
    if call.images == 1 or 1 not in batches or _same(model, net, with_batch_size(call, 1)):
        return batches
    return dataclasses.replace(batches, least=2)


def takes_other_sizes(model: nn.Module, net: Net, call: Call, batches: BatchSizes) -> bool:
    """Whether `net` gives what `model` does for images of twice the height, thrice the width.

    Sizes that a network computes, as for `interpolate`, are constants once it is captured.

    Args:
        model: the network, in evaluation mode.
        net: the same, captured at one size.
        call: an example of that size; tensors `(N, C, ...)`.
        batches: that it takes.
    """
    fixed = all(tensor.dim() < 3 for tensor in call)
    images = batches.only or max(2, batches.least)
    return not fixed and _same(model, net, with_batch_size(call, images).map(_larger))


def _larger(tensor: torch.Tensor) -> torch.Tensor:
    factors = [1, 1, 2, *[3] * (tensor.dim() - 3)] if tensor.dim() > 2 else [1] * tensor.dim()
    return tensor.repeat(factors)


@torch.no_grad()
def _same(model: nn.Module, net: Net, call: Call) -> bool:
    try:
        expected = [each for each in outputs(model, call) if isinstance(each, torch.Tensor)]
        given = net.outputs(list(call))
    except Exception:
        # What a network raises for a size that it does not take can be anything.
        return False
    found = [each for each in given if isinstance(each, torch.Tensor)]
    return len(expected) == len(found) and all(
        difference(one, two) <= _TOLERANCE for one, two in zip(expected, found, strict=True)
    )
