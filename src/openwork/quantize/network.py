"""`QuantizedNetwork`: a network whose layers compute in int8, as torch runs it."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from openwork.capture.steps import Steps
from openwork.quantize.interface import Interface

__all__ = ["QuantizedNetwork"]


class QuantizedNetwork(nn.Module):
    """What `openwork.quantize` gives: exact QDQ arithmetic in operators of torch.

    It takes the original's inputs, `(batch, ...)`, on the CPU, and has no parameters.

    Args:
        steps: what is run.
        tensors: path of a buffer -> the tensor that steps read there.
        interface: of the original.
    """

    sealed = "computes in int8"

    def __init__(
        self, steps: Steps, tensors: Mapping[str, torch.Tensor], interface: Interface
    ) -> None:
        super().__init__()
        for target, tensor in tensors.items():
            *path, name = target.split(".")
            owner: nn.Module = self
            for part in path:
                if part not in owner._modules:
                    owner.add_module(part, nn.Module())
                owner = owner.get_submodule(part)
            owner.register_buffer(name, tensor.clone())
        self.steps, self.interface = steps, interface

    @property
    def __signature__(self) -> inspect.Signature:
        return self.interface.form.signature

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name of an input -> its shape when the network was quantised, without the batch."""
        form = self.interface.form
        names = [path for number, path in form.paths.items() if number not in form.constants]
        return dict(zip(names, self.interface.shapes, strict=True))

    def __deepcopy__(self, memo: dict[int, Any]) -> "QuantizedNetwork":
        # What runs is never written to; pickle keeps what a file would, which not all can.
        twin = QuantizedNetwork(self.steps, dict(self.named_buffers()), self.interface)
        memo[id(self)] = twin.train(self.training)
        return twin

    def extra_repr(self) -> str:
        shapes = ", ".join(f"({', '.join(['N', *map(str, s)])})" for s in self.interface.shapes)
        layers = sum(tensor.dtype == torch.int8 for tensor in self.buffers())
        size = "any image size" if self.interface.any_size else "this size"
        return f"{shapes}, {size}; {layers} layers with int8 weights"

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        inputs = self.interface.inputs(args, kwargs)
        return self.interface.results(self.steps.run(self, inputs))
