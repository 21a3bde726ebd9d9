"""Masks of `torch.nn.utils.prune`, which a compacted network no longer needs."""

from torch import nn
from torch.nn.utils import prune

__all__ = ["make_masks_permanent_"]


def make_masks_permanent_(model: nn.Module) -> nn.Module:
    """Replace masked parameters by what their masks leave of them, in place; returns `model`."""
    for module in model.modules():
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, prune.BasePruningMethod):
                prune.remove(module, hook._tensor_name)
    return model
