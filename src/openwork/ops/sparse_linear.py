"""The operator `openwork::sparse_linear`: a linear layer that is given only its live weights.

The native kernels see a 1x1 convolution of one image whose pixels are the rows of the input; the
rows are transposed for it.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from openwork.ops import naive, native
from openwork.ops.autocast import register_autocast
from openwork.ops.gradients import compute_gradients, present
from openwork.ops.native import ConvSizes, NativeLayer

NAME = "openwork::sparse_linear"
GRADIENTS = "openwork::sparse_linear_gradients"

torch.library.define(
    NAME,
    "(Tensor input, Tensor weight, Tensor gaps, Tensor? bias, SymInt[] shape) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
torch.library.define(
    GRADIENTS,
    "(Tensor gradient, Tensor input, Tensor weight, Tensor gaps, SymInt[] shape, bool[3] wanted) "
    "-> (Tensor, Tensor, Tensor)",
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
    if native.needs_torchs_operators():
        return naive.linear(input, weight, gaps, bias, shape)
    eager = native.is_eager(input, weight, gaps)
    if eager and weight.shape[0] == math.prod(shape):
        return naive.linear(input, weight, gaps, bias, shape)
    # Autocast calls this again, after its casts.
    if native.may_measure(input, weight, gaps) and not torch.is_autocast_enabled("cpu"):
        # The kernel is chosen before the first step, so that all steps run on the same one.
        _decide_forward(input, weight, gaps, shape)
    run = _EagerLinear.apply if eager else torch.ops.openwork.sparse_linear.default
    return run(input, weight, gaps, bias, shape)


def _decide_forward(
    input: torch.Tensor, weight: torch.Tensor, gaps: torch.Tensor, shape: Sequence[int]
) -> None:
    layer = _layer(input, weight, gaps, shape)
    if layer is None:
        return
    with torch.no_grad():
        layer.decide(
            "forward",
            1,
            torch.get_num_threads(),
            lambda: naive.linear(input, weight, gaps, None, shape),
            lambda kernel: _native(layer, kernel, input, weight, None),
        )


def _layer(
    input: torch.Tensor, weight: torch.Tensor, gaps: torch.Tensor, shape: Sequence[int]
) -> NativeLayer | None:
    sizes, batch = linear_sizes(input, shape)
    return native.find_layer(input, weight, gaps, sizes, batch)


def linear_sizes(input: torch.Tensor, shape: Sequence[int]) -> tuple[ConvSizes, int]:
    """The sizes and the images of a call, as the native kernels see them."""
    rows = input.numel() // max(1, input.shape[-1])
    return ConvSizes((*shape, 1, 1), (1, 1), (0, 0), (1, 1), 1, (1, rows)), 1


def _pixels(rows: torch.Tensor) -> torch.Tensor:
    """(..., features) as one image, (1, features, 1, rows)."""
    return rows.reshape(-1, rows.shape[-1]).t().contiguous()[None, :, None]


def _rows(image: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """The inverse: (..., features), rows as those of `like`."""
    return image[0, :, 0].t().reshape(*like.shape[:-1], image.shape[1]).contiguous()


def _native(
    layer: NativeLayer,
    kernel: Any,
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    return _rows(native.forward(layer, kernel, _pixels(input), weight, bias), input)


def _forward(
    input: torch.Tensor,
    weight: torch.Tensor,
    gaps: torch.Tensor,
    bias: torch.Tensor | None,
    shape: Sequence[int],
) -> torch.Tensor:
    layer = _layer(input, weight, gaps, shape)
    if layer is not None:
        kernel = layer.chosen("forward", 1, torch.get_num_threads())
        if kernel is not None:
            return _native(layer, kernel, input, weight, bias)
    return naive.linear(input, weight, gaps, bias, shape)


torch.library.impl(NAME, "CompositeExplicitAutograd")(_forward)


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
    wanted = [*ctx.needs_input_grad[:2], ctx.has_bias and ctx.needs_input_grad[3]]
    # Gradients of gradients need operators that have a derivative themselves.
    if torch.is_grad_enabled():
        compute: Any = naive.linear_gradients
    else:
        eager = native.is_eager(gradient, input, weight, gaps)
        compute = _gradients if eager else torch.ops.openwork.sparse_linear_gradients.default
    found = compute(gradient, input, weight, gaps, ctx.shape, wanted)
    grads = [each if want else None for each, want in zip(found, wanted, strict=True)]
    return grads[0], grads[1], None, grads[2], None


def _gradients(
    gradient: torch.Tensor,
    input: torch.Tensor,
    weight: torch.Tensor,
    gaps: torch.Tensor,
    shape: Sequence[int],
    wanted: Sequence[bool],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    def reference(wanted: Sequence[bool], _: slice) -> tuple[torch.Tensor | None, ...]:
        return naive.linear_gradients(gradient, input, weight, gaps, shape, wanted)

    layer = None
    if gradient.dtype == torch.float32:
        layer = _layer(input, weight, gaps, shape)
    if layer is None:
        return present(reference(wanted, slice(None)), gradient)
    columns = _pixels(gradient)
    return compute_gradients(
        layer,
        1,
        reference,
        lambda kernel, _: _rows(native.input_gradient(layer, kernel, columns, weight), input),
        lambda kernel, _: native.weight_gradient(layer, kernel, _pixels(input), columns),
        wanted,
        gradient,
    )


torch.library.impl(GRADIENTS, "CompositeExplicitAutograd")(_gradients)


@torch.library.register_fake(GRADIENTS)
def _fake_gradients(
    gradient: torch.Tensor,
    input: torch.Tensor,
    weight: torch.Tensor,
    gaps: torch.Tensor,
    shape: Sequence[int],
    wanted: Sequence[bool],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    found = naive.linear_gradients(gradient, input, weight, gaps, shape, wanted)
    return present(found, gradient)


class _EagerLinear(torch.autograd.Function):
    """The operator without the dispatcher, as long as nothing but autograd watches."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> torch.Tensor:
        output = _forward(*inputs)
        _setup(ctx, inputs, output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[torch.Tensor | None, ...]:
        return _backward(ctx, *gradients)


torch.library.register_autograd(NAME, _backward, setup_context=_setup)


def _for_autocast(
    input: torch.Tensor,
    weight: torch.Tensor,
    gaps: torch.Tensor,
    bias: torch.Tensor | None,
    shape: Sequence[int],
) -> tuple[NativeLayer | None, int]:
    sizes, batch = linear_sizes(input, shape)
    found = native.find_layer(input, weight, gaps, sizes, batch, native.CASTABLE)
    return found, batch


register_autocast(torch.ops.openwork.sparse_linear.default, sparse_linear, _for_autocast)
