"""`compare_training`: whether a rewritten network still trains where the original does."""

# pyright: reportUnknownMemberType=false
# torch leaves parameters of fork_rng and manual_seed without types.

from typing import Any

import torch
from torch import nn

from openwork._copy import copied
from openwork._nested import flatten
from openwork._unchanged import unchanged
from openwork.capture.capture import several
from openwork.verify.difference import largest_difference
from openwork.verify.outputs import Inputs


def compare_training(original: nn.Module, rewritten: nn.Module, example: Inputs) -> str | None:
    """What a forward pass in training mode gave, in words; None if only `original` can do it.

    Only errors and shapes count: dropout and the like make numbers differ.

    Args:
        original, rewritten: on the CPU; copies of them run.
        example: tensors `(N, ...)` of one call; a single image is doubled, for batch norms.
    """
    expected, found = (_train(network, example) for network in (original, rewritten))
    if expected is None:
        return "the original does not run in training mode on these inputs"
    if found is None or len(found) != len(expected):
        return None
    if [getattr(a, "shape", None) for a in expected] != [getattr(b, "shape", None) for b in found]:
        return None
    relative = largest_difference(expected, found)[1]
    return f"outputs in training mode differ by {relative:.1e}, randomness included"


def _train(model: nn.Module, example: Inputs) -> list[Any] | None:
    training = copied(model).train()
    try:
        # The copy shares its classes, and what it cannot copy, with the original.
        with unchanged(training), torch.no_grad():
            torch.manual_seed(0)
            return flatten(several(example).run(training))[0]
    except Exception:
        return None
