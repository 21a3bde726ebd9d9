"""The operator `openwork::sparse_conv2d`: a convolution that is given only its live weights.

On the CPU, in float32, its three directions run on native kernels where those are faster.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from openwork.ops import naive, native
from openwork.ops.autocast import register_autocast
from openwork.ops.gradients import compute_gradients, present
from openwork.ops.native import ConvSizes, NativeLayer

NAME = "openwork::sparse_conv2d"
GRADIENTS = "openwork::sparse_conv2d_gradients"

torch.library.define(
    NAME,
    "(Tensor input, Tensor weight, Tensor gaps, Tensor? bias, SymInt[] shape, SymInt[2] stride, "
    "SymInt[2] padding, SymInt[2] dilation, SymInt groups) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
torch.library.define(
    GRADIENTS,
    "(Tensor gradient, Tensor input, Tensor weight, Tensor gaps, SymInt[] shape, SymInt[2] stride, "
    "SymInt[2] padding, SymInt[2] dilation, SymInt groups, bool[3] wanted) -> "
    "(Tensor, Tensor, Tensor)",
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
    geometry = (shape, stride, padding, dilation, groups)
    if native.needs_torchs_operators():
        return naive.conv2d(input, weight, gaps, bias, *geometry)
    eager = native.is_eager(input, weight, gaps)
    if eager and groups == 1 and weight.shape[0] == math.prod(shape):
        return naive.conv2d(input, weight, gaps, bias, *geometry)
    # Autocast calls this again, after its casts.
    if native.may_measure(input, weight, gaps) and not torch.is_autocast_enabled("cpu"):
        # The kernel is chosen before the first step, so that all steps run on the same one.
        _decide_forward(input, weight, gaps, geometry)
    run = _EagerConv2d.apply if eager else torch.ops.openwork.sparse_conv2d.default
    return run(input, weight, gaps, bias, *geometry)


def _decide_forward(
    input: torch.Tensor, weight: torch.Tensor, gaps: torch.Tensor, geometry: tuple[Any, ...]
) -> None:
    layer = _layer(input, weight, gaps, geometry)
    if layer is None:
        return
    some = input[: layer.measured_images]
    with torch.no_grad():
        layer.decide(
            "forward",
            input.shape[0],
            torch.get_num_threads(),
            lambda: naive.conv2d(some, weight, gaps, None, *geometry),
            lambda kernel: native.forward(layer, kernel, some, weight, None),
        )


def _layer(
    input: torch.Tensor, weight: torch.Tensor, gaps: torch.Tensor, geometry: tuple[Any, ...]
) -> NativeLayer | None:
    sizes, batch = conv2d_sizes(input, geometry)
    return native.find_layer(input, weight, gaps, sizes, batch)


def conv2d_sizes(input: torch.Tensor, geometry: Sequence[Any]) -> tuple[ConvSizes, int]:
    """The sizes and the images of a call, as the native kernels see them."""
    shape, stride, padding, dilation, groups = geometry
    height, width = input.shape[2:]
    sizes = ConvSizes(
        tuple(shape), tuple(stride), tuple(padding), tuple(dilation), groups, (height, width)
    )
    return sizes, input.shape[0]


def _forward(
    input: torch.Tensor,
    weight: torch.Tensor,
    gaps: torch.Tensor,
    bias: torch.Tensor | None,
    *geometry: Any,
) -> torch.Tensor:
    layer = _layer(input, weight, gaps, geometry)
    if layer is not None:
        kernel = layer.chosen("forward", input.shape[0], torch.get_num_threads())
        if kernel is not None:
            return native.forward(layer, kernel, input, weight, bias)
    return naive.conv2d(input, weight, gaps, bias, *geometry)


torch.library.impl(NAME, "CompositeExplicitAutograd")(_forward)


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
    wanted = [*ctx.needs_input_grad[:2], ctx.has_bias and ctx.needs_input_grad[3]]
    # Gradients of gradients need operators that have a derivative themselves.
    if torch.is_grad_enabled():
        found = naive.conv2d_gradients(gradient, input, weight, gaps, ctx.geometry, wanted)
    else:
        eager = native.is_eager(gradient, input, weight, gaps)
        compute = _gradients if eager else torch.ops.openwork.sparse_conv2d_gradients.default
        found = compute(gradient, input, weight, gaps, *ctx.geometry, wanted)
    grads = [each if want else None for each, want in zip(found, wanted, strict=True)]
    return grads[0], grads[1], None, grads[2], None, None, None, None, None


def _gradients(
    gradient: torch.Tensor,
    input: torch.Tensor,
    weight: torch.Tensor,
    gaps: torch.Tensor,
    *rest: Any,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    *geometry, wanted = rest

    def reference(wanted: Sequence[bool], images: slice) -> tuple[torch.Tensor | None, ...]:
        if not any(wanted[:2]):
            # oneDNN computes the weight's gradient as well where only the bias's is asked for.
            return None, None, gradient.sum((0, 2, 3))
        given = gradient[images], input[images]
        return naive.conv2d_gradients(*given, weight, gaps, geometry, wanted)

    layer = None
    if gradient.dtype == torch.float32:
        layer = _layer(input, weight, gaps, tuple(geometry))
    if layer is None:
        return present(reference(wanted, slice(None)), gradient)
    gradient = gradient.contiguous()
    return compute_gradients(
        layer,
        input.shape[0],
        reference,
        lambda kernel, some: native.input_gradient(layer, kernel, gradient[some], weight),
        lambda kernel, some: native.weight_gradient(layer, kernel, input[some], gradient[some]),
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
    *rest: Any,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    *geometry, wanted = rest
    return present(
        naive.conv2d_gradients(gradient, input, weight, gaps, geometry, wanted), gradient
    )


class _EagerConv2d(torch.autograd.Function):
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
    *geometry: Any,
) -> tuple[NativeLayer | None, int]:
    sizes, batch = conv2d_sizes(input, geometry)
    found = native.find_layer(input, weight, gaps, sizes, batch, native.CASTABLE)
    return found, batch


register_autocast(torch.ops.openwork.sparse_conv2d.default, sparse_conv2d, _for_autocast)
