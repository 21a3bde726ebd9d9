"""`QuantizedNetwork`: a network whose layers compute in int8, as torch runs it."""

import inspect
from typing import Any

import torch
from torch import nn

from openwork._nested import nest
from openwork.capture import Captured
from openwork.capture.steps import Steps
from openwork.quantize.net import Net


class QuantizedNetwork(nn.Module):
    """What `openwork.quantize` gives: exact QDQ arithmetic in operators of torch.

    It takes the original's inputs, `(batch, ...)`, of the captured size, and has no parameters.

    Args:
        net: what is run.
        captured: the original, whose calls and results are nested alike.
    """

    def __init__(self, net: Net, captured: Captured) -> None:
        super().__init__()
        for target, tensor in net.tensors.items():
            *path, name = target.split(".")
            owner: nn.Module = self
            for part in path:
                if part not in owner._modules:
                    owner.add_module(part, nn.Module())
                owner = owner.get_submodule(part)
            owner.register_buffer(name, tensor.clone())
        self._steps = Steps.of(net.graph)
        self._form, self._results = captured.form, captured.results

    @property
    def __signature__(self) -> inspect.Signature:
        return self._form.signature

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        leaves = self._steps.run(self, self._form.tensors(args, kwargs))
        constants = self._results.constants
        return nest(self._results.nesting, lambda n: constants[n] if n in constants else leaves[n])
