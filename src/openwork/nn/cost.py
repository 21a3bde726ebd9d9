"""What a network costs: live weights, MACs per layer, and bytes of memory."""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from openwork._arguments import check_model
from openwork._call import call_of
from openwork._mode import evaluation
from openwork._unchanged import unchanged
from openwork.errors import ArgumentError, OpenworkError, first_line
from openwork.nn.sparse_layer import SparseLayer

__all__ = ["live_weights"]


@dataclass(frozen=True)
class MemoryUse:
    """Bytes occupied by the tensors of a training run, counted from their storages.

    Attributes:
        parameters: live weights, biases and the like.
        gradients: those that exist.
        optimizer: tensors in the optimiser's state.
        indices: the `gaps` of sparse layers.
        buffers: all other buffers.
    """

    parameters: int
    gradients: int
    optimizer: int
    indices: int
    buffers: int

    @property
    def training(self) -> int:
        """Parameters, gradients, optimiser state and indices together."""
        return self.parameters + self.gradients + self.optimizer + self.indices


def memory_use(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> MemoryUse:
    """The memory that `model` occupies now, and that `optimizer` occupies for it.

    Only gradients that exist are counted, so call this after a backward pass and a step.

    Args:
        model: any module.
        optimizer: the optimiser over the parameters of `model`, or None.

    >>> memory_use(nn.Linear(10, 10)).parameters  # 110 float32 numbers
    440
    """
    check_model(model)
    parameters = list(model.parameters())
    gradients = [p.grad for p in parameters if p.grad is not None]
    indices = [m.gaps for m in model.modules() if isinstance(m, SparseLayer)]
    index_ids = {id(tensor) for tensor in indices}
    buffers = [b for b in model.buffers() if id(b) not in index_ids]
    states = optimizer.state.values() if optimizer is not None else ()
    memory = [v for state in states for v in state.values() if isinstance(v, torch.Tensor)]
    return MemoryUse(*map(_bytes, (parameters, gradients, memory, indices, buffers)))


def live_weights(module: nn.Module) -> int:
    """Number of parameters of `module`; dead weights are not stored and so not counted."""
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def count_macs(model: nn.Module, example: Any) -> dict[str, int]:
    """Multiply-adds per image of every convolution and linear layer, dense or sparse.

    Args:
        model: run once in evaluation mode, then put back as it was.
        example: an input batch `(N, ...)`, or several inputs, as in `openwork.compile`.

    Returns:
        Qualified name -> multiply-adds per image; a layer that is called twice counts twice.

    Raises:
        ArgumentError: `example` has no image, or the model does not accept it.

    >>> count_macs(nn.Sequential(nn.Conv2d(3, 16, 3)), torch.zeros(1, 3, 8, 8))
    {'0': 15552}
    """
    check_model(model)
    call = call_of(model, example)
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in call)
    if not call.images:
        raise ArgumentError(f"`example` of shape {shapes} holds no image; pass one")
    counts: dict[str, int] = {}
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.modules.conv._ConvNd | nn.Linear | SparseLayer)
    }

    def hook(name: str) -> Callable[[Any, Any, torch.Tensor], None]:
        def count(module: Any, inputs: Any, output: torch.Tensor) -> None:
            # Each weight is used once for every position of its filter, in the output or, in a
            # transposed convolution, in the input.
            shape = module.shape if isinstance(module, SparseLayer) else module.weight.shape
            positions = (inputs[0] if _transposed(module) else output).numel() // shape[0]
            counts[name] = counts.get(name, 0) + module.weight.numel() * positions

        return count

    try:
        # Hooks last, or what they count would be put back too.
        with unchanged(model), evaluation(model), contextlib.ExitStack() as hooks:
            for name, module in layers.items():
                hooks.callback(module.register_forward_hook(hook(name)).remove)
            call.run(model)
    except OpenworkError:
        raise
    except Exception as error:
        # Any kind: it is the model's own code that raises.
        raise ArgumentError(
            f"`example` of shape {shapes} is not accepted by the model: "
            f"{first_line(error)}; pass images of the size that the model takes"
        ) from error
    return {name: counts[name] // call.images for name in layers if name in counts}


def _transposed(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.conv._ConvNd) and module.transposed


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())
