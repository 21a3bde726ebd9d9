"""`rounding`: how far a network in float32 is from itself in float64."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from openwork._call import Call
from openwork._copy import copied
from openwork.verify.difference import difference
from openwork.verify.outputs import in_float64, outputs


def rounding(model: nn.Module, inputs: Call | Sequence[torch.Tensor]) -> float:
    """How far the outputs of a network in evaluation mode are from its own in float64.

    Some networks amplify every rounding, so that two correct results in float32 differ a lot.

    Args:
        model: in float32; it is not changed.
        inputs: float32 tensors `(N, ...)` of one call.

    Returns:
        The difference relative to the largest output; 0 for networks that cannot be copied or do
        not run in float64.
    """
    single = outputs(model, inputs)
    try:
        exact = outputs(copied(model).double(), in_float64(inputs))
    except Exception:
        # Some convert to float32 themselves; each raises its own kind of error.
        return 0.0
    pairs = [(one, two) for one, two in zip(exact, single, strict=True) if _floats(one, two)]
    return max((difference(one.float(), two) for one, two in pairs), default=0.0)


def _floats(one: Any, two: Any) -> bool:
    return all(
        isinstance(value, torch.Tensor) and value.is_floating_point() for value in (one, two)
    )
