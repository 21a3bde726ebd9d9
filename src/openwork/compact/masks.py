"""Channels that others marked as dead: pruning masks, and batch norms with tiny scales."""

from torch import nn
from torch.nn.utils import prune


def make_masks_permanent_(model: nn.Module) -> nn.Module:
    """Apply the masks of `torch.nn.utils.prune`, in place: zeroed weights take their place."""
    for module in model.modules():
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, prune.BasePruningMethod):
                prune.remove(module, hook._tensor_name)
    return model


def zero_small_scales_(model: nn.Module, below: float) -> nn.Module:
    """Set scales of batch norms that are smaller than `below` in size to zero, in place."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.weight is not None:
            module.weight.data[module.weight.data.abs() < below] = 0.0
    return model
