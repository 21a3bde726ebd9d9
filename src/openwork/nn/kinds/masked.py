"""Masks of `torch.nn.utils.prune`, seen as patterns."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.utils import prune

from openwork.nn.kinds.to_sparse import SparseForm, to_sparse
from openwork.nn.layers import replace
from openwork.nn.sparse_layer import Dense, groups_of, pattern_shape
from openwork.patterns import Pattern

__all__ = ["masks_as_patterns"]


@contextlib.contextmanager
def masks_as_patterns(model: nn.Module) -> Iterator[None]:
    """In the block, sparse layers stand in for the layers of `model` whose weights are masked.

    They compute the same, and what a mask leaves out is dead. Afterwards the masked layers are
    back where a stand-in still is.
    """
    stand_ins: dict[nn.Module, nn.Module] = {
        module: _stand_in(module)
        for name, module in model.named_modules()
        if name and isinstance(module, Dense) and _is_masked(module)
    }
    replace(model, stand_ins)
    try:
        yield
    finally:
        replace(model, {stand_in: module for module, stand_in in stand_ins.items()})


def _is_masked(module: nn.Module) -> bool:
    """Whether a mask on the weight is all that sets `module` apart from a plain layer."""
    hooks = list(module._forward_pre_hooks.values())
    masks = [hook for hook in hooks if isinstance(hook, prune.BasePruningMethod)]
    plain = type(module) in (nn.Conv1d, nn.Conv2d, nn.Linear)
    return plain and len(masks) == len(hooks) == 1 and masks[0]._tensor_name == "weight"


@torch.no_grad()
def _stand_in(module: Dense) -> SparseForm:
    held, mask = module.get_parameter("weight_orig"), module.get_buffer("weight_mask")
    # A twin without the hook; a deep copy would refuse the masked weight, which has a graph.
    plain = type(module).__new__(type(module))
    weight = nn.Parameter(held * mask, requires_grad=held.requires_grad)
    plain.__dict__.update(module.__dict__)
    plain.__dict__.pop("weight", None)
    plain.__dict__["_parameters"] = {"weight": weight, "bias": module.bias}
    taps = mask.reshape(pattern_shape(plain)).bool().cpu().numpy()
    return to_sparse(plain, Pattern(taps, groups_of(plain)))
