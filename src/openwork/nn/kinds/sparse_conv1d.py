"""`SparseConv1d`: a convolution over sequences that stores only its live weights."""

from collections.abc import Sequence
from typing import Self, cast, final, get_args

import torch
import torch.nn.functional as F
from torch import nn

from openwork._arguments import check_choice
from openwork.errors import ArgumentError
from openwork.nn.sparse_conv2d import PaddingMode
from openwork.nn.sparse_layer import SparseLayer, check_pattern
from openwork.ops import sparse_conv2d
from openwork.patterns import Pattern, from_weight


@final
class SparseConv1d(SparseLayer):
    """A 1-D convolution whose only weight parameter is the vector of live weights.

    It runs as a 2-D convolution over images of one row, so its pattern has kernels of one row. The
    pattern determines channels, groups and kernel; all else is as in `torch.nn.Conv1d`.

    Args:
        pattern: a pattern of shape `(out_channels, in_channels / groups, 1, k)`.
        stride: default 1.
        padding: a number, "valid" or "same" (stride 1 only), default 0.
        dilation: default 1.
        bias: whether each filter adds a learned constant, default True.
        padding_mode: "zeros" (default), "reflect", "replicate" or "circular".
        device, dtype: device and dtype of the parameters, default torch's defaults.

    Shape:
        Input `(N, in_channels, L)` or `(in_channels, L)`; output `(N, out_channels, L')` or
        `(out_channels, L')` with `L'` as in `torch.nn.Conv1d`.

    Raises:
        ArgumentError: a pattern whose kernels have several rows, a linear layer's pattern, or a
            geometry that `torch.nn.Conv1d` refuses.

    >>> from openwork.patterns import random
    >>> layer = SparseConv1d(random(32, 16, (1, 3), density=0.25))
    >>> layer.weight.shape, layer(torch.zeros(2, 16, 8)).shape
    (torch.Size([384]), torch.Size([2, 32, 6]))
    """

    def __init__(
        self,
        pattern: Pattern,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if len(pattern.kernel) != 2 or pattern.kernel[0] != 1:
            raise ArgumentError(
                f"`pattern` has shape {pattern.shape}; a 1-D convolution needs kernels of one row, "
                "(out, in / groups, 1, k)"
            )
        super().__init__(pattern, bias, device, dtype)
        self.in_channels = pattern.in_channels
        self.out_channels = pattern.out_channels
        self.kernel_size = pattern.kernel[1:]
        self.stride = _single("stride", stride, least=1)
        self.dilation = _single("dilation", dilation, least=1)
        check_choice("padding_mode", padding_mode, get_args(PaddingMode))
        self.padding_mode: PaddingMode = padding_mode
        if isinstance(padding, str):
            check_choice("padding", padding, ("valid", "same"))
            if padding == "same" and self.stride != (1,):
                raise ArgumentError(
                    f"`padding`='same' needs stride 1, not {self.stride[0]}; pass the padding as "
                    "a number"
                )
        self.padding = padding if isinstance(padding, str) else _single("padding", padding, 0)

    def _sides(self) -> tuple[int, int]:
        """Padding before and after."""
        if self.padding == "valid":
            return 0, 0
        if isinstance(self.padding, str):
            total = self.dilation[0] * (self.kernel_size[0] - 1)
            # An odd sum puts the extra one after, as in torch.
            return total // 2, -(-total // 2)
        return self.padding[0], self.padding[0]

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if input.dim() == 2:
            return self.forward(input.unsqueeze(0)).squeeze(0)
        (before, after), padding = self._sides(), 0
        if self.padding_mode != "zeros":
            input = F.pad(input, (before, after), mode=self.padding_mode)
        else:
            padding = before
            if before != after:
                input = F.pad(input, (0, after - before))
        return sparse_conv2d(
            input.unsqueeze(2),
            self.weight,
            self.gaps,
            self.bias,
            self.shape,
            (1, *self.stride),
            (0, padding),
            (1, *self.dilation),
            self.groups,
        ).squeeze(2)

    def to_dense(self) -> nn.Conv1d:
        """The `torch.nn.Conv1d` that computes the same, with bit-equal weights."""
        dense = nn.Conv1d(
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.bias is not None,
            self.padding_mode,
            device="meta",
        )
        self._give(dense)
        return dense

    @classmethod
    def from_dense(
        cls, module: nn.Conv1d, pattern: Pattern | None = None, *, init: str = "keep"
    ) -> Self:
        """The sparse layer that replaces `module`.

        Args:
            module: the dense layer; it is not changed.
            pattern: a pattern of shape `(out_channels, in_channels / groups, 1, k)`; by default
                that of the non-zero kernels of `module.weight`.
            init: "keep" (default), "rescale" or "reset", as in `SparseConv2d.from_dense`.

        Raises:
            ArgumentError: a pattern of another shape, or a weight that is NaN or infinite.
        """
        check_pattern(pattern, module, module.groups)
        layer = cls(
            pattern or from_weight(module.weight.unsqueeze(2), groups=module.groups),
            module.stride,
            module.padding,
            module.dilation,
            module.bias is not None,
            cast(PaddingMode, module.padding_mode),
            device=module.weight.device,
            dtype=module.weight.dtype,
        )
        return layer._take(module, init)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}, padding={self.padding!r}, dilation={self.dilation}"
        text += f", groups={self.groups}, bias={self.bias is not None}"
        return f"{text}, padding_mode={self.padding_mode!r}, density={self.pattern.density:.4g}"


def _single(argument: str, value: int | Sequence[int], least: int) -> tuple[int]:
    numbers = [value] if isinstance(value, int) else list(value)
    if len(numbers) != 1 or not isinstance(numbers[0], int) or numbers[0] < least:
        raise ArgumentError(f"`{argument}`={value!r} must be a whole number of at least {least}")
    return (numbers[0],)
