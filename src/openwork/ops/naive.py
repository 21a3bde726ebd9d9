"""The reference: expand the live weights and hand them to torch's dense operators.

Plain on purpose. It works on every device and dtype that torch does, the fast kernels are tested
against it, and it keeps one layer's dense weight only while that layer runs.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from openwork.ops.expand import collect, expand


def conv2d(
    input: torch.Tensor,
    weight: torch.Tensor,
    gaps: torch.Tensor,
    bias: torch.Tensor | None,
    shape: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> torch.Tensor:
    dense = _dense(weight, gaps, shape)
    return F.conv2d(input, dense, bias, stride, padding, dilation, groups)


def conv2d_gradients(
    gradient: torch.Tensor,
    input: torch.Tensor,
    weight: torch.Tensor,
    gaps: torch.Tensor,
    geometry: Sequence[Any],
    wanted: Sequence[bool],
) -> tuple[torch.Tensor | None, ...]:
    """The gradients of input, live weights and bias, each if `wanted`, else None.

    `geometry` is (shape, stride, padding, dilation, groups), as for `conv2d`.
    """
    shape, stride, padding, dilation, groups = geometry
    # The dense weight is computed again, not kept: it takes many times the memory of the live one.
    grad_input, grad_dense, grad_bias = torch.ops.aten.convolution_backward(
        gradient,
        input,
        _dense(weight, gaps, shape),
        [shape[0]] if wanted[2] else None,
        stride,
        padding,
        dilation,
        False,
        [0, 0],
        groups,
        list(wanted),
    )
    grad_weight = _live(grad_dense, gaps, weight.shape[0]) if wanted[1] else None
    return grad_input, grad_weight, grad_bias


def linear(
    input: torch.Tensor,
    weight: torch.Tensor,
    gaps: torch.Tensor,
    bias: torch.Tensor | None,
    shape: Sequence[int],
) -> torch.Tensor:
    return F.linear(input, _dense(weight, gaps, shape), bias)


def linear_gradients(
    gradient: torch.Tensor,
    input: torch.Tensor,
    weight: torch.Tensor,
    gaps: torch.Tensor,
    shape: Sequence[int],
    wanted: Sequence[bool],
) -> tuple[torch.Tensor | None, ...]:
    """The gradients of input, live weights and bias, each if `wanted`, else None."""
    rows = gradient.reshape(-1, gradient.shape[-1])
    grad_input = gradient @ _dense(weight, gaps, shape) if wanted[0] else None
    grad_weight = None
    if wanted[1]:
        grad_dense = rows.t() @ input.reshape(-1, input.shape[-1])
        grad_weight = _live(grad_dense, gaps, weight.shape[0])
    return grad_input, grad_weight, rows.sum(0) if wanted[2] else None


def _dense(weight: torch.Tensor, gaps: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """The dense weight; where all of it is live, without a copy."""
    if weight.shape[0] == math.prod(shape):
        return weight.view(tuple(shape))
    return expand(weight, gaps, shape)


def _live(dense: torch.Tensor, gaps: torch.Tensor, live: int) -> torch.Tensor:
    return dense.reshape(-1) if live == dense.numel() else collect(dense, gaps, live)
