"""`NativeNorm`: what layers share that normalise by the batch on native kernels."""

from functools import partial

import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.nn.norms.deferred import NormCall, deferred
from openwork.ops.batch_norm_act import ACTS, batch_norm_act

__all__ = ["NativeNorm"]


class NativeNorm(nn.BatchNorm2d):
    """A batch norm whose training runs on native kernels.

    Attributes:
        native: set it to False for torch's operators everywhere.
        stands_in: whether `fuse_norms_` put it in the place of another layer, whose activation is
            behind it in the network.
        waits_for: the activation for which the output waits, or for a sum before it; "none" if it
            waits for a sum alone, None if it does not wait. What else reads it sees it without.
    """

    native = True
    stands_in = False
    waits_for: str | None = None

    def by_batch(
        self, input: torch.Tensor, residual: torch.Tensor | None, act: str
    ) -> torch.Tensor:
        """Normalise `(N, C, H, W)` by the batch, add `residual` or None, and take `act`.

        Raises:
            ArgumentError: the input has other channels than the layer.
        """
        self._check(input)
        if self.waits_for is None or torch.compiler.is_compiling() or _backward_hooks(self):
            return self._train(input, residual, act)
        sum_alone = self.waits_for == "none"
        call = NormCall(partial(self._train, input), input, self.weight, self.bias, sum_alone)
        return deferred(call, residual)

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
        self, input: torch.Tensor, residual: torch.Tensor | None, act: str, update: bool = True
    ) -> torch.Tensor:
        if not self.native:
            result = nn.BatchNorm2d.forward(self, input) if update else self._reference(input)
            result = result if residual is None else result + residual
            return ACTS[act](result)
        result, statistics = batch_norm_act(input, self.weight, self.bias, residual, self.eps, act)
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
        return nn.functional.batch_norm(
            input, None, None, self.weight, self.bias, True, 0.0, self.eps
        )


def _backward_hooks(norm: nn.Module) -> bool:
    """Whether torch wraps the output for hooks, which see gradients by it."""
    everywhere = nn.modules.module
    return bool(
        norm._backward_hooks
        or norm._backward_pre_hooks
        or everywhere._global_backward_hooks
        or everywhere._global_backward_pre_hooks
    )
