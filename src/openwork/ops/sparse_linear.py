"""The operator `openwork::sparse_linear`: a linear layer that is given only its live weights."""

from collections.abc import Sequence
from typing import Any

import torch

from openwork.ops import naive
from openwork.ops.autocast import register_autocast
from openwork.ops.expand import collect, expand

NAME = "openwork::sparse_linear"

torch.library.define(
    NAME,
    "(Tensor input, Tensor weight, Tensor gaps, Tensor? bias, SymInt[] shape) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def sparse_linear(
    input: torch.Tensor,
    weight: torch.Tensor,
    gaps: torch.Tensor,
    bias: torch.Tensor | None,
    shape: Sequence[int],
) -> torch.Tensor:
    """Multiply `input` with the dense matrix that `weight` and `gaps` stand for.

    Args:
        input: `(..., in_features)`, floating point.
        weight: `(live,)`, the live weights in canonical order (out, in).
        gaps: `(live,)` uint8 or int32, `Pattern.gaps`. Not checked here: take it from a Pattern.
        bias: `(out_features,)` or None.
        shape: of the dense weight, `(out_features, in_features)`.

    Returns:
        `(..., out_features)`.
    """
    return torch.ops.openwork.sparse_linear.default(input, weight, gaps, bias, shape)


torch.library.impl(NAME, "CompositeExplicitAutograd")(naive.linear)


@torch.library.register_fake(NAME)
def _fake(
    input: torch.Tensor,
    weight: torch.Tensor,
    gaps: torch.Tensor,
    bias: torch.Tensor | None,
    shape: Sequence[int],
) -> torch.Tensor:
    return torch.nn.functional.linear(input, weight.new_empty(tuple(shape)), bias)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    input, weight, gaps, bias, ctx.shape = inputs
    ctx.has_bias = bias is not None
    ctx.save_for_backward(input, weight, gaps)


def _backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    input, weight, gaps = ctx.saved_tensors
    grad_input = grad_weight = grad_bias = None
    rows = gradient.reshape(-1, gradient.shape[-1])
    if ctx.needs_input_grad[0]:
        grad_input = gradient @ expand(weight, gaps, ctx.shape)
    if ctx.needs_input_grad[1]:
        grad_dense = rows.t() @ input.reshape(-1, input.shape[-1])
        grad_weight = collect(grad_dense, gaps, weight.shape[0])
    if ctx.has_bias and ctx.needs_input_grad[3]:
        grad_bias = rows.sum(0)
    return grad_input, grad_weight, None, grad_bias, None


torch.library.register_autograd(NAME, _backward, setup_context=_setup)
register_autocast(torch.ops.openwork.sparse_linear.default)
