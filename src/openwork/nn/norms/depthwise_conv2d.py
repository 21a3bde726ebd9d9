"""`NativeDepthwiseConv2d`: torch's depthwise convolution, trained on native kernels."""

from typing import Any, final

import torch
from torch import nn

from openwork.kernels.training.candidates import DEPTHWISE_KERNELS, DEPTHWISE_STRIDES
from openwork.ops import sparse_conv2d
from openwork.patterns import dense


@final
class NativeDepthwiseConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` with one input channel per filter, on kernels made for it.

    In training on the CPU in float32 the output and both gradients run on native kernels where
    those are faster, chosen by measurement as those of sparse layers are. Elsewhere, in evaluation
    and for single images torch's operators run.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, bias, padding_mode,
            device, dtype: as in `torch.nn.Conv2d`; `groups` is `in_channels`.

    Shape:
        Input `(N, in_channels, H, W)` or `(in_channels, H, W)`; output as of `torch.nn.Conv2d`.

    >>> NativeDepthwiseConv2d(32, 32, 3, padding=1)(torch.randn(8, 32, 16, 16)).shape
    torch.Size([8, 32, 16, 16])
    """

    gaps: torch.Tensor

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, **options: Any
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, groups=in_channels, **options)
        self.gaps = _gaps_of(self)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        padding = _padding_of(self)
        if padding is None or not self._is_trained(input):
            return super().forward(input)
        return sparse_conv2d(
            input,
            self.weight.reshape(-1),
            self.gaps,
            self.bias,
            self.weight.shape,
            self.stride,
            padding,
            self.dilation,
            self.groups,
        )

    def _is_trained(self, input: torch.Tensor) -> bool:
        if not (self.training and torch.is_grad_enabled()):
            return False
        fits = input.dim() == 4 and input.shape[1] == self.in_channels
        on_cpu = input.device.type == self.weight.device.type == self.gaps.device.type == "cpu"
        return fits and on_cpu and not torch.compiler.is_exporting()


def is_depthwise(module: nn.Module) -> bool:
    """Whether this is torch's own layer with kernels and strides that native kernels have."""
    if type(module) is not nn.Conv2d:
        return False
    return (
        module.groups == module.in_channels > 1
        and module.kernel_size in DEPTHWISE_KERNELS
        and module.stride in DEPTHWISE_STRIDES
        and module.dilation == (1, 1)
        and _padding_of(module) is not None
    )


def to_native_(conv: nn.Module) -> None:
    """Let a layer that `is_depthwise` run on native kernels; it stays the same object."""
    native: Any = conv
    native.gaps = _gaps_of(native)
    native.__class__ = NativeDepthwiseConv2d


def from_native_(module: nn.Module) -> None:
    """Undo `to_native_`, if there is anything to undo."""
    if isinstance(module, NativeDepthwiseConv2d):
        conv: Any = module
        del conv.gaps
        conv.__class__ = nn.Conv2d


def _gaps_of(conv: nn.Conv2d) -> torch.Tensor:
    """The `gaps` of a pattern with everything live."""
    pattern = dense(conv.out_channels, conv.in_channels, conv.kernel_size, groups=conv.groups)
    return torch.from_numpy(pattern.gaps.copy())


def _padding_of(conv: nn.Conv2d) -> tuple[int, ...] | None:
    """(vertical, horizontal) zeros on both sides; None for other paddings."""
    left, right, top, bottom = conv._reversed_padding_repeated_twice
    if conv.padding_mode != "zeros" or left != right or top != bottom:
        return None
    return (top, left) if isinstance(conv.padding, str) else conv.padding
