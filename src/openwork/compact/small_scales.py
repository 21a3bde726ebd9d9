"""Batch norms whose scales are so small that their channels are nearly constant."""

from torch import nn


def zero_small_scales_(model: nn.Module, below: float) -> nn.Module:
    """Set scales of batch norms with |scale| < `below` to zero, in place; returns `model`."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.weight is not None:
            module.weight.data[module.weight.data.abs() < below] = 0.0
    return model
