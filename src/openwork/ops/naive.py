"""The reference: expand the live weights and hand them to torch's dense operators.

Plain on purpose. It works on every device and dtype that torch does, the fast kernels are tested
against it, and it keeps one layer's dense weight only while that layer runs.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from openwork.ops.expand import expand


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
    dense = expand(weight, gaps, shape)
    return F.conv2d(input, dense, bias, stride, padding, dilation, groups)


def linear(
    input: torch.Tensor,
    weight: torch.Tensor,
    gaps: torch.Tensor,
    bias: torch.Tensor | None,
    shape: Sequence[int],
) -> torch.Tensor:
    return F.linear(input, expand(weight, gaps, shape), bias)
