"""How far two results of a network are apart."""

from typing import Any

import torch


def difference(expected: Any, found: Any) -> float:
    """Largest difference relative to the largest expected number.

    Args:
        expected, found: tensors, or anything else, which is the same or infinitely far apart, as
            are tensors of another shape or dtype, or NaNs in other places.
    """
    if not isinstance(expected, torch.Tensor):
        return 0.0 if type(expected) is type(found) and expected == found else float("inf")
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return float("inf")
    if not expected.numel():
        return 0.0
    one, two = expected.double(), found.double()
    equal = (one == two) | (one.isnan() & two.isnan())
    apart = (one - two).abs().masked_fill(equal, 0).max().item()
    scale = one.abs().nan_to_num(nan=0.0, posinf=0.0).max().item()
    return apart / max(scale, 1e-6) if apart < float("inf") else float("inf")
