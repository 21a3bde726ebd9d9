"""What `evaluate` says of a network, if it is an error that can be compared."""

import math
from collections.abc import Callable

from torch import nn

from openwork.errors import OpenworkError

Evaluate = Callable[[nn.Module, float], float]


def error_of(
    model: nn.Module, evaluate: Evaluate, share: float = 1.0, what: str = "the network"
) -> float:
    """The error of `model`, which messages call `what`, on the first `share` of the data.

    Raises:
        OpenworkError: `evaluate` gives no finite number. What it raises passes through.
    """
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
