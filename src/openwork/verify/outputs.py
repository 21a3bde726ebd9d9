"""`outputs`: what a network gives for one call, as a flat list."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from openwork._arguments import check_module
from openwork._call import Call, as_call
from openwork._mode import evaluation
from openwork._nested import flatten
from openwork._unchanged import alone

# The inputs of one call; tensors alone are positional arguments.
Inputs = Call | tuple[torch.Tensor, ...]


@torch.no_grad()
def outputs(model: nn.Module, inputs: Call | Sequence[torch.Tensor]) -> list[Any]:
    """The results of `model` in evaluation mode, nested ones one after another.

    Args:
        model: its modules are in their own modes again afterwards.
        inputs: of one call; `model` is given copies of its tensors `(N, ...)`, which it may write
            to.

    Raises:
        Exception: whatever `model` raises on these inputs.
    """
    check_module(model)
    with alone(), evaluation(model):
        return flatten(as_call(inputs).map(torch.clone).run(model))[0]


def in_float64(inputs: Call | Sequence[torch.Tensor]) -> Call:
    """The same call with its floating-point tensors `(N, ...)` in float64."""
    return as_call(inputs).map(lambda t: t.double() if t.is_floating_point() else t)
