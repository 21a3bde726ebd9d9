"""Max pooling in training on the native kernels, which keep one byte per output for the gradient.

torch keeps the whole input and eight bytes per output.
"""

import math
from typing import Any

import torch

from openwork.kernels.native import extension
from openwork.ops.large_pages import in_large_pages
from openwork.ops.maps import are_native
from openwork.ops.native import array, is_untraced

__all__ = ["Pair", "max_pool2d", "native_takes"]

Pair = tuple[int, int]
# A window's taps are numbered in a byte.
_MOST_TAPS = 255


def native_takes(
    input: torch.Tensor, kernel: Pair, stride: Pair, pad: Pair, dilation: Pair, ceil_mode: bool
) -> bool:
    """Whether `max_pool2d` computes this; if not, torch does, or says what is wrong with it."""
    if ceil_mode or dilation != (1, 1) or min(kernel + stride) < 1 or min(pad) < 0:
        return False
    if math.prod(kernel) > _MOST_TAPS or any(2 * p > k for p, k in zip(pad, kernel, strict=True)):
        return False
    if not (is_untraced(input) and are_native(input)):
        return False
    return min(_pooled(input.shape, kernel, stride, pad)[2:]) > 0


def max_pool2d(input: torch.Tensor, kernel: Pair, stride: Pair, pad: Pair) -> torch.Tensor:
    """`torch.nn.functional.max_pool2d` of what `native_takes`.

    Args:
        input: `(N, C, H, W)`.
        kernel, stride, pad: along height and width.

    Returns:
        `(N, C, outputs along height, outputs along width)`, the same bits as torch's.
    """
    return _MaxPool2d.apply(input, kernel, stride, pad)  # type: ignore[no-any-return, no-untyped-call]


class _MaxPool2d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, input: torch.Tensor, kernel: Pair, stride: Pair, pad: Pair
    ) -> torch.Tensor:
        ctx.window, ctx.shape = {"kernel": kernel, "stride": stride, "pad": pad}, input.shape
        output = in_large_pages(input.new_empty(_pooled(input.shape, **ctx.window)))
        tap = torch.empty(output.shape, dtype=torch.uint8)
        extension.max_pool2d_forward(
            extension.chosen_isa(),
            input=array(input),
            output=array(output),
            tap=array(tap),
            **ctx.window,
            threads=torch.get_num_threads(),
        )
        ctx.save_for_backward(tap)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        (tap,) = ctx.saved_tensors
        gradient = gradient.contiguous()
        # Gradients of gradients go through torch's operators.
        if torch.is_grad_enabled() or not (is_untraced(gradient) and are_native(gradient)):
            return _torchs_backward(gradient, tap, ctx.shape, **ctx.window), None, None, None
        grad_input = in_large_pages(gradient.new_empty(ctx.shape))
        extension.max_pool2d_backward(
            extension.chosen_isa(),
            gradient=array(gradient),
            tap=array(tap),
            grad_input=array(grad_input),
            **ctx.window,
            threads=torch.get_num_threads(),
        )
        return grad_input, None, None, None


def _torchs_backward(
    gradient: torch.Tensor,
    tap: torch.Tensor,
    shape: torch.Size,
    kernel: Pair,
    stride: Pair,
    pad: Pair,
) -> torch.Tensor:
    place = []
    for axis, each in enumerate((tap // kernel[1], tap % kernel[1])):
        starts = torch.arange(tap.shape[2 + axis]) * stride[axis] - pad[axis]
        place.append(each + (starts[:, None] if axis == 0 else starts))
    # Of the input only the shape is asked.
    return torch.ops.aten.max_pool2d_with_indices_backward(
        gradient,
        gradient.new_empty(shape),
        kernel,
        stride,
        pad,
        (1, 1),
        False,
        place[0] * shape[3] + place[1],
    )


def _pooled(shape: torch.Size, kernel: Pair, stride: Pair, pad: Pair) -> tuple[int, ...]:
    """The output's shape, as torch rounds it."""
    sizes = (
        (size + 2 * p - k) // s + 1
        for size, k, s, p in zip(shape[2:], kernel, stride, pad, strict=True)
    )
    return (*shape[:2], *sizes)
