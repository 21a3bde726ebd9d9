"""`BatchNormAct2d`: batch normalisation, a residual sum and a ReLU in one module."""

from functools import partial
from typing import Any, Literal, Self, final

import torch
import torch.nn.functional as F
from torch import nn

from openwork._arguments import check_choice
from openwork.errors import ArgumentError
from openwork.nn.norms.deferred import NormCall, deferred
from openwork.ops.batch_norm_act import batch_norm_act, native_takes

Act = Literal["none", "relu"]
ACTS = ("none", "relu")


@final
class BatchNormAct2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` followed by a sum and a ReLU, which training computes in two passes.

    Parameters, buffers, their names and the `state_dict` are those of `torch.nn.BatchNorm2d`. On
    the CPU, in float32 and in training, native kernels run; elsewhere torch's operators do.

    `torch.nn.SyncBatchNorm.convert_sync_batchnorm` drops the activation of a module that was made
    by hand; after `fuse_norms_` ReLUs are where they were.

    Args:
        num_features: channels.
        eps, momentum, affine, track_running_stats, device, dtype: as in `torch.nn.BatchNorm2d`.
        act: "relu" (default) or "none".

    Attributes:
        act: the activation.
        native: set it to False for torch's operators everywhere.
        act_follows: whether code behind the layer asks for the sum and the activation, as after
            `fuse_norms_`; the output waits for them then, and what else reads it sees it without.

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
    native = True
    act_follows = False

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
        check_choice("act", act, ACTS)
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device=device, dtype=dtype
        )
        self.act = act

    def forward(self, input: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        if not (self.training and native_takes(input, self.weight, residual)):
            return self.finish(super().forward(input), residual)
        self._check(input)
        if not self.act_follows:
            return self._train(input, residual, self.act == "relu")
        if torch.compiler.is_compiling() or _backward_hooks(self):
            return self._train(input, residual, False)
        return deferred(
            NormCall(partial(self._train, input), input, self.weight, self.bias), residual
        )

    def finish(
        self, normalised: torch.Tensor, residual: torch.Tensor | None = None
    ) -> torch.Tensor:
        """What follows the normalisation: the sum and the activation of `(N, C, H, W)`."""
        result = normalised if residual is None else normalised + residual
        return F.relu(result) if self.act == "relu" and not self.act_follows else result

    @classmethod
    def from_norm(cls, norm: nn.BatchNorm2d, act: Act, *, act_follows: bool = False) -> Self:
        """The same layer with an activation; it shares parameters and buffers with `norm`."""
        found = _shared(norm, cls(1, affine=False, act=act, device="meta"))
        found.act_follows = act_follows
        return found

    def to_norm(self) -> nn.BatchNorm2d:
        """The same layer without its activation; it shares parameters and buffers with this."""
        return _shared(self, nn.BatchNorm2d(1, affine=False, device="meta"))

    def _check(self, input: torch.Tensor) -> None:
        if input.numel() == input.shape[1]:
            # torch's own words, and its kind of error.
            raise ValueError(
                f"Expected more than 1 value per channel when training, got {tuple(input.shape)}"
            )
        counted = self.weight is not None or self.running_mean is not None
        if counted and input.shape[1] != self.num_features:
            raise ArgumentError(
                f"`input` has {input.shape[1]} channels, but the layer has {self.num_features}"
            )

    def _train(
        self, input: torch.Tensor, residual: torch.Tensor | None, relu: bool, update: bool = True
    ) -> torch.Tensor:
        if not self.native:
            result = super().forward(input) if update else self._reference(input)
            result = result if residual is None else result + residual
            return F.relu(result) if relu else result
        result, statistics = batch_norm_act(input, self.weight, self.bias, residual, self.eps, relu)
        if not update:
            return result
        # All of it here: a checkpoint that computes the result again stops before.
        factor = 0.0 if self.momentum is None else self.momentum
        if self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                factor = 1.0 / float(self.num_batches_tracked)
        if self.track_running_stats and self.running_mean is not None:
            mean, _, unbiased = statistics.unbind()
            self.running_mean.lerp_(mean, factor)
            self.running_var.lerp_(unbiased, factor)  # type: ignore[union-attr]
        return result

    def _reference(self, input: torch.Tensor) -> torch.Tensor:
        """torch's result, without an update of the running statistics."""
        return F.batch_norm(input, None, None, self.weight, self.bias, True, 0.0, self.eps)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, act={self.act!r}"


def _backward_hooks(norm: nn.Module) -> bool:
    """Whether torch wraps the output for hooks, which see gradients by it."""
    everywhere = nn.modules.module
    return bool(
        norm._backward_hooks
        or norm._backward_pre_hooks
        or everywhere._global_backward_hooks
        or everywhere._global_backward_pre_hooks
    )


def _shared(source: nn.BatchNorm2d, target: Any) -> Any:
    for name in ("num_features", "eps", "momentum", "affine", "track_running_stats", "training"):
        setattr(target, name, getattr(source, name))
    target._parameters = dict(source._parameters)
    target._buffers = dict(source._buffers)
    target._non_persistent_buffers_set = set(source._non_persistent_buffers_set)
    return target
