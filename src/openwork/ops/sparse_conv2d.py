"""The operator `openwork::sparse_conv2d`: a convolution that is given only its live weights."""

from collections.abc import Sequence
from typing import Any

import torch

from openwork.ops import naive
from openwork.ops.autocast import register_autocast
from openwork.ops.expand import collect, expand

NAME = "openwork::sparse_conv2d"

torch.library.define(
    NAME,
    "(Tensor input, Tensor weight, Tensor gaps, Tensor? bias, SymInt[] shape, SymInt[2] stride, "
    "SymInt[2] padding, SymInt[2] dilation, SymInt groups) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def sparse_conv2d(
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
    """Convolve `input` with the dense weight that `weight` and `gaps` stand for.

    Args:
        input: `(batch, in_channels, height, width)`, floating point.
        weight: `(live,)`, the live weights in canonical order (out, in, ky, kx).
        gaps: `(units,)` uint8 or int32, `Pattern.gaps`. Not checked here: take it from a Pattern.
        bias: `(out_channels,)` or None.
        shape: of the dense weight, `(out_channels, in_channels / groups, kh, kw)`.
        stride, padding, dilation: (vertical, horizontal); zeros pad both sides equally.
        groups: groups of the convolution.

    Returns:
        `(batch, out_channels, height', width')`, as `torch.nn.functional.conv2d` gives it.
    """
    return torch.ops.openwork.sparse_conv2d.default(
        input, weight, gaps, bias, shape, stride, padding, dilation, groups
    )


torch.library.impl(NAME, "CompositeExplicitAutograd")(naive.conv2d)


@torch.library.register_fake(NAME)
def _fake(
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
    dense = weight.new_empty(tuple(shape))
    return torch.nn.functional.conv2d(input, dense, bias, stride, padding, dilation, groups)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    input, weight, gaps, bias, *ctx.geometry = inputs
    ctx.has_bias = bias is not None
    ctx.save_for_backward(input, weight, gaps)


def _backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    input, weight, gaps = ctx.saved_tensors
    shape, stride, padding, dilation, groups = ctx.geometry
    wanted = [*ctx.needs_input_grad[:2], ctx.has_bias and ctx.needs_input_grad[3]]
    # The dense weight is computed again, not kept: it takes many times the memory of the live one.
    grad_input, grad_dense, grad_bias = torch.ops.aten.convolution_backward(
        gradient,
        input,
        expand(weight, gaps, shape),
        [shape[0]] if ctx.has_bias else None,
        stride,
        padding,
        dilation,
        False,
        [0, 0],
        groups,
        wanted,
    )
    grad_weight = collect(grad_dense, gaps, weight.shape[0]) if wanted[1] else None
    return grad_input, grad_weight, None, grad_bias, None, None, None, None, None


torch.library.register_autograd(NAME, _backward, setup_context=_setup)
register_autocast(torch.ops.openwork.sparse_conv2d.default)
