"""The pattern that a weight tensor already has."""

from typing import TYPE_CHECKING

import numpy as np

from openwork._arguments import check_choice
from openwork.errors import ArgumentError
from openwork.patterns.pattern import Pattern

if TYPE_CHECKING:
    import torch


def from_weight(
    weight: "torch.Tensor", *, groups: int = 1, granularity: str = "connection"
) -> Pattern:
    """The pattern of the non-zero entries of `weight`, for example after masking or pruning.

    Args:
        weight: `(out_channels, in_channels / groups, kh, kw)` or `(out_channels, in_channels)`.
        groups: groups of the convolution, default 1.
        granularity: "connection" (default): a kernel is live with all its taps if any of them is
            non-zero; "tap": exactly the non-zero taps are live.

    Returns:
        A pattern of the shape of `weight`.

    Raises:
        ArgumentError: `weight` contains NaN, is not floating point, or has another rank.

    >>> import torch
    >>> from_weight(torch.tensor([[0.0, 2.0], [1.0, 0.0]])).connections.tolist()
    [[0, 1], [1, 0]]
    """
    check_choice("granularity", granularity, ("connection", "tap"))
    if weight.dim() not in (2, 4) or not weight.is_floating_point():
        raise ArgumentError(
            f"`weight` of shape {tuple(weight.shape)} and dtype {weight.dtype} must be a floating "
            "point tensor of shape (out, in) or (out, in / groups, kh, kw)"
        )
    if weight.isnan().any():
        raise ArgumentError(
            f"`weight` of shape {tuple(weight.shape)} holds NaN, which is neither live nor dead; "
            "repair the weights first"
        )
    taps: np.ndarray = (weight.detach() != 0).cpu().numpy()
    if granularity == "connection" and weight.dim() == 4:
        taps = np.broadcast_to(taps.any(axis=(2, 3), keepdims=True), taps.shape)
    return Pattern(taps, groups)
