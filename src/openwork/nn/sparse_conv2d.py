"""`SparseConv2d`: a convolution that stores only its live weights."""

from collections.abc import Sequence
from typing import Self, final

import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.nn.sparse_conv import PaddingMode, SparseConv
from openwork.nn.sparse_layer import check_dense
from openwork.ops import sparse_conv2d
from openwork.patterns import Pattern, from_weight


@final
class SparseConv2d(SparseConv):
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

    axes = 2

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
        self._set_geometry(pattern, stride, padding, dilation, padding_mode)

    def _convolve(self, input: torch.Tensor, padding: tuple[int, ...]) -> torch.Tensor:
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
        return self._dense(nn.Conv2d)

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
            ArgumentError: a module of another class, a pattern of another shape, or a weight that
                is NaN or infinite.
        """
        check_dense(module, nn.Conv2d, pattern)
        return cls._from(module, pattern or from_weight(module.weight, groups=module.groups), init)
