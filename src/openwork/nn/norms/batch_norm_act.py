"""`BatchNormAct2d`: batch normalisation, a residual sum and an activation in one module."""

from typing import Any, Literal, Self, final

import torch
from torch import nn

from openwork._arguments import check_choice
from openwork.nn.norms.native_norm import NativeNorm
from openwork.ops.batch_norm_act import ACTS, native_takes

Act = Literal["none", "relu", "relu6"]


@final
class BatchNormAct2d(NativeNorm):
    """`torch.nn.BatchNorm2d` followed by a sum and an activation, in two passes over the data.

    Parameters, buffers, their names and the `state_dict` are those of `torch.nn.BatchNorm2d`. On
    the CPU, in training, native kernels run for maps in float32 and for those in bfloat16 under
    autocast, which are rounded once, at the end; elsewhere torch's operators do.

    `torch.nn.SyncBatchNorm.convert_sync_batchnorm` drops the activation of a module that was made
    by hand; after `fuse_norms_` activations are where they were.

    Args:
        num_features: channels.
        eps, momentum, affine, track_running_stats, device, dtype: as in `torch.nn.BatchNorm2d`.
        act: "relu" (default), "relu6" or "none".

    Attributes:
        act: the activation.
        native, stands_in, waits_for: as in `NativeNorm`.

    Shape:
        Input `(N, C, H, W)`, residual `(N, C, H, W)` or None; output `(N, C, H, W)`.

    Raises:
        ArgumentError: an unknown `act`.

    >>> norm = BatchNormAct2d(16)
    >>> x = torch.randn(8, 16, 4, 4)
    >>> norm(x, residual=x).shape, norm(x).min().item()
    (torch.Size([8, 16, 4, 4]), 0.0)
    """

    act: Act

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        act: Act = "relu",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_choice("act", act, tuple(ACTS))
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device=device, dtype=dtype
        )
        self.act = act

    def forward(self, input: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        if not (self.training and native_takes(input, self.weight, residual)):
            return self.finish(super().forward(input), residual)
        return self.by_batch(input, residual, self.act)

    def finish(
        self, normalised: torch.Tensor, residual: torch.Tensor | None = None
    ) -> torch.Tensor:
        """What follows the normalisation: the sum and the activation of `(N, C, H, W)`."""
        return ACTS[self.act](normalised if residual is None else normalised + residual)

    @classmethod
    def from_norm(cls, norm: nn.BatchNorm2d, act: str) -> Self:
        """The same layer with an activation; it shares parameters and buffers with `norm`."""
        return _shared(norm, cls(1, affine=False, act=act, device="meta"))  # type: ignore[arg-type]

    @classmethod
    def in_place_of(cls, norm: nn.BatchNorm2d, waits_for: str | None) -> Self:
        """The same layer on native kernels; it shares parameters and buffers with `norm`.

        Args:
            norm: the layer.
            waits_for: as in `NativeNorm`.
        """
        found = cls.from_norm(norm, "none")
        found.stands_in, found.waits_for = True, waits_for
        return found

    def to_norm(self) -> nn.BatchNorm2d:
        """The same layer without its activation; it shares parameters and buffers with this."""
        return _shared(self, nn.BatchNorm2d(1, affine=False, device="meta"))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, act={self.act!r}"


def _shared(source: nn.BatchNorm2d, target: Any) -> Any:
    for name in ("num_features", "eps", "momentum", "affine", "track_running_stats", "training"):
        setattr(target, name, getattr(source, name))
    target._parameters = dict(source._parameters)
    target._buffers = dict(source._buffers)
    target._non_persistent_buffers_set = set(source._non_persistent_buffers_set)
    return target
