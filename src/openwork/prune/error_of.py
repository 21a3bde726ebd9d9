"""How `evaluate` is called: its result must be a finite number."""

import math
from collections.abc import Callable
from typing import Any

from torch import nn

from openwork._arguments import check_callable
from openwork._unchanged import unchanged
from openwork.errors import OpenworkError

__all__ = ["Evaluate"]

# (model, share of the data in (0, 1]) -> error; lower is better.
Evaluate = Callable[[nn.Module, float], float]


def check_evaluate(evaluate: Any) -> None:
    """Refuse what cannot be called as `Evaluate` is."""
    check_callable("evaluate", evaluate, "(model, share) -> error; prune.error_on makes one")


def error_of(
    model: nn.Module, evaluate: Evaluate, share: float = 1.0, what: str = "the network"
) -> float:
    """The error of `model` on the first `share` of the data.

    Args:
        model: the network; what running it changes is put back.
        evaluate: measures the error.
        share: of the data, in (0, 1].
        what: the name of the network in messages.

    Raises:
        ArgumentError: `evaluate` cannot be called.
        OpenworkError: `evaluate` does not return a finite number. What it raises passes through.
    """
    check_evaluate(evaluate)
    with unchanged(model):
        value = evaluate(model, share)
    try:
        error = float(value)
    except (TypeError, ValueError, RuntimeError):
        error = math.nan
    if not math.isfinite(error):
        raise OpenworkError(
            f"`evaluate` returned {value!r:.40} for {what} on {share:.4g} of the data, not a "
            "finite number"
        )
    return error
