"""`SparseConv1d`: a convolution over sequences that stores only its live weights."""

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
class SparseConv1d(SparseConv):
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

    axes = 1

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
        self._set_geometry(pattern, stride, padding, dilation, padding_mode)

    def _convolve(self, input: torch.Tensor, padding: tuple[int, ...]) -> torch.Tensor:
        return sparse_conv2d(
            input.unsqueeze(2),
            self.weight,
            self.gaps,
            self.bias,
            self.shape,
            (1, *self.stride),
            (0, *padding),
            (1, *self.dilation),
            self.groups,
        ).squeeze(2)

    def to_dense(self) -> nn.Conv1d:
        """The `torch.nn.Conv1d` that computes the same, with bit-equal weights."""
        return self._dense(nn.Conv1d)

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
            ArgumentError: a module of another class, a pattern of another shape, or a weight that
                is NaN or infinite.
        """
        check_dense(module, nn.Conv1d, pattern)
        if pattern is None:
            pattern = from_weight(module.weight.unsqueeze(2), groups=module.groups)
        return cls._from(module, pattern, init)
