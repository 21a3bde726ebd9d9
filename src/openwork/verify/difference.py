"""How far two results of a network are apart."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from openwork._mode import evaluation


def difference(expected: Any, found: Any) -> float:
    """Largest difference relative to the largest expected number.

    Args:
        expected, found: tensors, or anything else, which is the same or infinitely far apart, as
            are tensors of another shape or dtype, or NaNs in other places.
    """
    if not isinstance(expected, torch.Tensor):
        return 0.0 if type(expected) is type(found) and expected == found else float("inf")
    if not isinstance(found, torch.Tensor):
        return float("inf")
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return float("inf")
    if not expected.numel():
        return 0.0
    one, two = in_double(expected), in_double(found)
    equal = (one == two) | (one.isnan() & two.isnan())
    apart = (one - two).abs().masked_fill(equal, 0).max().item()
    scale = one.abs().nan_to_num(nan=0.0, posinf=0.0).max().item()
    return apart / max(scale, 1e-6) if apart < float("inf") else float("inf")


def in_double(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` in float64; of complex numbers both parts, along one more axis."""
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    return tensor.double()


@torch.no_grad()
def rounding(model: nn.Module, inputs: Sequence[torch.Tensor]) -> float:
    """How far the outputs of a network in evaluation mode are from its own in float64.

    Some networks amplify every rounding: of those, two right results in float32 differ much.

    Args:
        model: in float32; it is not changed.
        inputs: of one call.

    Returns:
        The difference relative to the largest output; 0 for networks that do not run in float64.
    """
    double = copy.deepcopy(model).double()
    with evaluation(model, double):
        single = _pytree.tree_leaves(model(*(tensor.clone() for tensor in inputs)))
        try:
            exact = _pytree.tree_leaves(double(*(tensor.double() for tensor in inputs)))
        except RuntimeError:
            # Those that convert to float32 themselves.
            return 0.0
    pairs = [(one, two) for one, two in zip(exact, single, strict=True) if _floats(one, two)]
    return max((difference(one.float(), two) for one, two in pairs), default=0.0)


def _floats(one: Any, two: Any) -> bool:
    return all(
        isinstance(value, torch.Tensor) and value.is_floating_point() for value in (one, two)
    )
