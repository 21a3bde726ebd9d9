"""`SparseLinear`: a linear layer that stores only its live weights."""

from typing import Self, final

import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.nn.sparse_layer import SparseLayer, check_dense
from openwork.ops import sparse_linear
from openwork.patterns import Pattern, from_weight


@final
class SparseLinear(SparseLayer):
    """A linear layer whose only weight parameter is the vector of live weights.

    Args:
        pattern: a pattern of shape `(out_features, in_features)`.
        bias: whether each output adds a learned constant, default True.
        device, dtype: device and dtype of the parameters, default torch's defaults.

    Shape:
        Input `(..., in_features)`; output `(..., out_features)`.

    Raises:
        ArgumentError: a convolution's pattern.

    >>> from openwork.patterns import random
    >>> layer = SparseLinear(random(32, 16, density=0.25))
    >>> layer.weight.shape, layer(torch.zeros(2, 16)).shape
    (torch.Size([128]), torch.Size([2, 32]))
    """

    def __init__(
        self,
        pattern: Pattern,
        bias: bool = True,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if pattern.kernel:
            raise ArgumentError(
                f"`pattern` has shape {pattern.shape}, which is a convolution's; "
                "a linear layer needs (out, in)"
            )
        super().__init__(pattern, bias, device, dtype)
        self.in_features = pattern.in_channels
        self.out_features = pattern.out_channels

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return sparse_linear(input, self.weight, self.gaps, self.bias, self.shape)

    def to_dense(self) -> nn.Linear:
        """The `torch.nn.Linear` that computes the same, with bit-equal weights."""
        has_bias = self.bias is not None
        dense = nn.Linear(self.in_features, self.out_features, has_bias, device="meta")
        self._give(dense)
        return dense

    @classmethod
    def from_dense(
        cls, module: nn.Linear, pattern: Pattern | None = None, *, init: str = "keep"
    ) -> Self:
        """The sparse layer that replaces `module`.

        Args:
            module: the dense layer; it is not changed.
            pattern: a pattern of the shape of `module.weight`; by default that of its non-zero
                weights.
            init: "keep" (default), "rescale" or "reset", as in `SparseConv2d.from_dense`.

        Raises:
            ArgumentError: a module of another class, a pattern of another shape, or a weight that
                is NaN or infinite.
        """
        check_dense(module, nn.Linear, pattern)
        layer = cls(
            pattern or from_weight(module.weight),
            module.bias is not None,
            device=module.weight.device,
            dtype=module.weight.dtype,
        )
        return layer._take(module, init)

    def extra_repr(self) -> str:
        text = f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"
        return f"{text}, density={self.pattern.density:.4g}"
