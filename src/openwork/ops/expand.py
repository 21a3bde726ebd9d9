"""Live weights to the dense tensor they stand for, and back; exact inverses on live taps.

Shared by the naive kernels and their gradients. Every step is an ordinary torch operator with a
derivative, so gradients of gradients work too.
"""

import math
from collections.abc import Sequence

import torch

__all__ = ["collect", "expand"]


def expand(weight: torch.Tensor, gaps: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """`weight` (live,) at the places that `gaps` names, zero elsewhere: a tensor of `shape`.

    Units are whole connections when there are fewer gaps than weights, else single taps.
    """
    unit = _unit(weight.shape[0], gaps.shape[0], shape)
    rows = weight.new_zeros((math.prod(shape) // unit, unit))
    return rows.index_copy(0, _positions(gaps), weight.view(-1, unit)).view(tuple(shape))


def collect(dense: torch.Tensor, gaps: torch.Tensor, live: int) -> torch.Tensor:
    """The (live,) weights of `dense` at the places that `gaps` names, in canonical order."""
    unit = _unit(live, gaps.shape[0], dense.shape)
    return dense.reshape(-1, unit).index_select(0, _positions(gaps)).view(-1)


def _positions(gaps: torch.Tensor) -> torch.Tensor:
    return torch.cumsum(gaps, 0, dtype=torch.int64)


def _unit(live: int, gaps: int, shape: Sequence[int]) -> int:
    return 1 if live == gaps else math.prod(shape[2:])
