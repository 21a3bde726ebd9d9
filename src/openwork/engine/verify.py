"""The compiled network's outputs beside the original's."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from openwork.capture import difference, rounding
from openwork.errors import VerificationError
from openwork.nn._mode import evaluation


@torch.no_grad()
def verify(
    model: nn.Module,
    compiled: Callable[..., Any],
    inputs: Sequence[torch.Tensor],
    dynamic: bool,
    tolerance: float,
) -> float:
    """Largest difference over the example, and over another batch size if any may be given.

    Args:
        model: the original, run in evaluation mode.
        compiled: takes and returns the same.
        inputs: the example, one batch size in all.
        dynamic: whether `compiled` takes any batch size.
        tolerance: largest difference allowed, relative to the largest output.

    Raises:
        VerificationError: the results differ by more, or in their kind or shape.
    """
    cases = [tuple(inputs)]
    if dynamic:
        cases.append(tuple(torch.cat([tensor.flip(0), tensor[:1]]) for tensor in inputs))
    worst = 0.0
    for case in cases:
        with evaluation(model):
            # Copies, for networks that write to their input.
            expected = _pytree.tree_leaves(model(*(tensor.clone() for tensor in case)))
        found = _pytree.tree_leaves(compiled(*case))
        worst = max([worst, *(difference(a, b) for a, b in zip(expected, found, strict=True))])
    if worst > tolerance:
        raise VerificationError(
            f"the compiled network differs from the original by {worst:.2e} of its largest output, "
            f"more than `tolerance`={tolerance}; {_rounding(model, inputs, tolerance)}the original "
            "is unchanged"
        )
    return worst


def _rounding(model: nn.Module, inputs: Sequence[torch.Tensor], tolerance: float) -> str:
    """What float32 alone explains, if that is much: random networks may amplify every rounding."""
    own = rounding(model, inputs)
    if own < tolerance / 10:
        return ""
    return (
        f"in float32 the original's own outputs are off by {own:.2e}, so a larger `tolerance` may "
        "be right; "
    )
