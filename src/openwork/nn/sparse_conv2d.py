"""`SparseConv2d`: a convolution that stores only its live weights."""

from collections.abc import Sequence
from typing import Literal, Self, cast, final, get_args

import torch
import torch.nn.functional as F
from torch import nn
from torch.fx import Proxy

from openwork._arguments import check_choice
from openwork.errors import ArgumentError
from openwork.nn.sparse_layer import SparseLayer, check_pattern
from openwork.ops import sparse_conv2d
from openwork.patterns import Pattern, from_weight

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


@final
class SparseConv2d(SparseLayer):
    """A 2-D convolution whose only weight parameter is the vector of live weights.

    The pattern determines channels, groups and kernel; all else is as in `torch.nn.Conv2d`.

    Args:
        pattern: a pattern of shape `(out_channels, in_channels / groups, kh, kw)`.
        stride: a number or (vertical, horizontal), default 1.
        padding: a number, a pair, "valid" or "same" (stride 1 only), default 0.
        dilation: a number or a pair, default 1.
        bias: whether each filter adds a learned constant, default True.
        padding_mode: "zeros" (default), "reflect", "replicate" or "circular".
        device, dtype: device and dtype of the parameters, default torch's defaults.

    Shape:
        Input `(N, in_channels, H, W)` or `(in_channels, H, W)`; output `(N, out_channels, H', W')`
        or `(out_channels, H', W')` with `H'`, `W'` as in `torch.nn.Conv2d`.

    Raises:
        ArgumentError: a linear layer's pattern, or a geometry that `torch.nn.Conv2d` refuses.

    Source: channel-wise sparse convolution, "The Power of Sparsity in Convolutional Neural
    Networks" (2017); there with masks on dense weights, here without storing the dead ones.

    >>> from openwork.patterns import random
    >>> layer = SparseConv2d(random(32, 16, 3, density=0.25))
    >>> layer.weight.shape, layer(torch.zeros(2, 16, 8, 8)).shape
    (torch.Size([1152]), torch.Size([2, 32, 6, 6]))
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
        if len(pattern.kernel) != 2:
            raise ArgumentError(
                f"`pattern` has shape {pattern.shape}, which is a linear layer's; "
                "a convolution needs (out, in / groups, kh, kw)"
            )
        super().__init__(pattern, bias, device, dtype)
        self.in_channels = pattern.in_channels
        self.out_channels = pattern.out_channels
        self.kernel_size = pattern.kernel
        self.stride = _pair("stride", stride, least=1)
        self.dilation = _pair("dilation", dilation, least=1)
        check_choice("padding_mode", padding_mode, get_args(PaddingMode))
        self.padding_mode: PaddingMode = padding_mode
        self.padding = self._check_padding(padding)

    def _check_padding(self, padding: int | Sequence[int] | str) -> tuple[int, int] | str:
        if not isinstance(padding, str):
            return _pair("padding", padding, least=0)
        check_choice("padding", padding, ("valid", "same"))
        if padding == "same" and self.stride != (1, 1):
            raise ArgumentError(
                f"`padding`='same' needs stride 1, not {self.stride}; pass the padding as numbers"
            )
        return padding

    def _sides(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Padding (before, after) of height and of width."""
        if self.padding == "valid":
            return (0, 0), (0, 0)
        if isinstance(self.padding, str):
            # An odd sum puts the extra one after, as in torch.
            sums = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            return (sums[0] // 2, -(-sums[0] // 2)), (sums[1] // 2, -(-sums[1] // 2))
        return (self.padding[0], self.padding[0]), (self.padding[1], self.padding[1])

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        # torch.fx traces batches: a proxy does not know how many axes it has.
        if not isinstance(input, Proxy) and input.dim() == 3:
            return self.forward(input.unsqueeze(0)).squeeze(0)
        (top, bottom), (left, right) = self._sides()
        padding = (0, 0)
        if self.padding_mode != "zeros":
            input = F.pad(input, (left, right, top, bottom), mode=self.padding_mode)
        else:
            padding = (top, left)
            if (top, left) != (bottom, right):
                input = F.pad(input, (0, right - left, 0, bottom - top))
        return sparse_conv2d(
            input,
            self.weight,
            self.gaps,
            self.bias,
            self.shape,
            self.stride,
            padding,
            self.dilation,
            self.groups,
        )

    def to_dense(self) -> nn.Conv2d:
        """The `torch.nn.Conv2d` that computes the same, with bit-equal weights."""
        dense = nn.Conv2d(
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
        cls, module: nn.Conv2d, pattern: Pattern | None = None, *, init: str = "keep"
    ) -> Self:
        """The sparse layer that replaces `module`.

        Args:
            module: the dense layer; it is not changed.
            pattern: a pattern of the shape of `module.weight`; by default that of its non-zero
                kernels.
            init: "keep" (default): the weights at live taps, bit for bit; "rescale": those times
                sqrt(dense fan-in / true fan-in), which preserves the output variance of any
                initialisation; "reset": redrawn by `reset_parameters`.

        Raises:
            ArgumentError: a pattern of another shape, or a weight that is NaN or infinite.
        """
        check_pattern(pattern, module, module.groups)
        layer = cls(
            pattern or from_weight(module.weight, groups=module.groups),
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


def _pair(argument: str, value: int | Sequence[int], least: int) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(not isinstance(n, int) or n < least for n in pair):
        raise ArgumentError(
            f"`{argument}`={value!r} must be a whole number of at least {least} or a pair of them"
        )
    return pair[0], pair[1]
