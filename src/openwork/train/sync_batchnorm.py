"""Batch normalisation over the global batch, so that many processes train like a single one.

torch's SyncBatchNorm refuses CPU tensors; this works wherever `torch.distributed` does.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from openwork.nn import BatchNormAct2d
from openwork.nn.norms.timm_norm_act import is_native, is_timms


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        # The loss of every rank depends on the terms of all ranks.
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def _forward(module: Any, input: torch.Tensor) -> torch.Tensor:
    axes = [0, *range(2, input.dim())]
    shape = [1, -1, *[1] * (input.dim() - 2)]
    values = input.float()
    count = values.new_tensor([values.numel() / values.shape[1]])
    dist.all_reduce(count)
    mean = _SumOverRanks.apply(values.sum(axes)) / count
    centred = values - mean.view(shape)
    variance = _SumOverRanks.apply(centred.square().sum(axes)) / count
    if module.track_running_stats:
        with torch.no_grad():
            module.num_batches_tracked.add_(1)
            momentum = module.momentum
            if momentum is None:
                momentum = 1.0 / module.num_batches_tracked.item()
            module.running_mean.lerp_(mean, momentum)
            module.running_var.lerp_(variance * count / (count - 1), momentum)
    result = centred * (variance + module.eps).rsqrt().view(shape)
    if module.affine:
        result = result * module.weight.view(shape) + module.bias.view(shape)
    return result.to(input.dtype)


def _synced(kind: Any, finish: Callable[..., torch.Tensor]) -> Any:
    # More than the input: the residual of a BatchNormAct2d.
    def forward(self: Any, input: torch.Tensor, *more: Any) -> torch.Tensor:
        if not self.training:
            return kind.forward(self, input, *more)
        return finish(self, _forward(self, input), *more)

    return type(f"Synced{kind.__name__}", (kind,), {"forward": forward})


_SYNCED: dict[type[nn.Module], Any] = {
    **{
        kind: _synced(kind, lambda _, result: result)
        for kind in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    },
    BatchNormAct2d: _synced(BatchNormAct2d, BatchNormAct2d.finish),
}


@functools.cache
def _synced_timms(kind: type[nn.Module]) -> Any:
    return _synced(kind, lambda norm, result: norm.act(norm.drop(result)))


def _synced_kind(module: nn.Module) -> Any:
    """The class that normalises over all ranks in the place of the module's; None for others."""
    if is_timms(module) or is_native(module):
        return _synced_timms(type(module))
    return _SYNCED.get(type(module))


@contextlib.contextmanager
def synced_batchnorm(model: nn.Module, world: int) -> Iterator[None]:
    """Within the block, batch normalisation layers of `model` use the statistics of all ranks.

    They are torch's, `BatchNormAct2d` and timm's. Parameters, buffers and module identities do not
    change; only `forward` in training does.
    """
    found = {m: _synced_kind(m) for m in model.modules()} if world > 1 else {}
    layers = {module: kind for module, kind in found.items() if kind is not None}
    for module, kind in layers.items():
        module.__class__ = kind
    try:
        yield
    finally:
        for module in layers:
            module.__class__ = type(module).__bases__[0]
