"""`outputs`: what a network gives for one call, as a flat list."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from openwork._mode import evaluation
from openwork._unchanged import alone

# The tensors of one call, in the order of the network's arguments.
Inputs = tuple[torch.Tensor, ...]


@torch.no_grad()
def outputs(model: nn.Module, inputs: Sequence[torch.Tensor]) -> list[Any]:
    """The results of `model` in evaluation mode, nested ones one after another.

    Args:
        model: its modules are in their own modes again afterwards.
        inputs: tensors `(N, ...)` of one call; `model` is given copies, which it may write to.

    Raises:
        Exception: whatever `model` raises on these inputs.
    """
    with alone(), evaluation(model):
        return _pytree.tree_leaves(model(*(tensor.clone() for tensor in inputs)))
