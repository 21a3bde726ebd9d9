"""`difference`: how far two results of a network are apart."""

from collections.abc import Sequence
from typing import Any

import torch


def difference(expected: Any, found: Any) -> float:
    """Largest difference relative to the largest expected number.

    Args:
        expected, found: tensors `(...)` of one shape and dtype. Tensors of different shapes or
            dtypes are infinitely far apart, and so are NaNs in different places; values that are
            not tensors are equal or infinitely far apart.
    """
    if not isinstance(expected, torch.Tensor):
        return 0.0 if type(expected) is type(found) and expected == found else float("inf")
    if not isinstance(found, torch.Tensor):
        return float("inf")
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return float("inf")
    if not expected.numel():
        return 0.0
    one, two = _as_float64(expected), _as_float64(found)
    equal = (one == two) | (one.isnan() & two.isnan())
    largest = (one - two).abs().masked_fill(equal, 0).max().item()
    scale = one.abs().nan_to_num(nan=0.0, posinf=0.0).max().item()
    return largest / max(scale, 1e-6) if largest < float("inf") else float("inf")


def largest_difference(expected: Sequence[Any], found: Sequence[Any]) -> tuple[float, float]:
    """The largest difference of two lists of results, absolute and relative.

    Args:
        expected: tensors of any shape, and other values.
        found: the same of the other network.

    Returns:
        Both are infinite where the results differ in number, kind, shape or dtype.
    """
    if len(found) != len(expected):
        return float("inf"), float("inf")
    relative = max([0.0, *map(difference, expected, found)])
    if relative == float("inf"):
        return relative, relative
    pairs = [(a, b) for a, b in zip(expected, found, strict=True) if isinstance(a, torch.Tensor)]
    absolute = [
        (_as_float64(a) - _as_float64(b)).abs().nan_to_num().max().item()
        for a, b in pairs
        if a.numel()
    ]
    return max([0.0, *absolute]), relative


def _as_float64(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` in float64; complex numbers as (..., 2), real and imaginary parts."""
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    return tensor.double()
