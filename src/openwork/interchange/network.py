"""`OnnxNetwork`: the network that `from_onnx` gives, which runs its steps one after another."""

import inspect
from collections.abc import Sequence
from typing import Any

from torch import fx, nn

from openwork.capture.steps import Steps
from openwork.interchange.input_form import InputForm


class OnnxNetwork(nn.Module):
    """A network of an ONNX file; its modules, parameters and buffers are torch's own.

    It takes tensors `(batch, ...)`, in the order of the file's inputs or by their names.

    Args:
        root: holds the modules, parameters and buffers that `graph` names.
        graph: what is run.
        inputs: what the file states of the inputs.

    Attributes:
        inputs: the same.
    """

    def __init__(self, root: nn.Module, graph: fx.Graph, inputs: Sequence[InputForm]) -> None:
        super().__init__()
        for name, module in root._modules.items():
            self.add_module(name, module)
        for name, parameter in root._parameters.items():
            self.register_parameter(name, parameter)
        for name, buffer in root._buffers.items():
            self.register_buffer(name, buffer)
        self.inputs = tuple(inputs)
        # A node may be called otherwise than the input that it stands for.
        self._names = tuple(str(n.target) for n in graph.nodes if n.op == "placeholder")
        self._steps = Steps.of(graph)

    @property
    def __signature__(self) -> inspect.Signature:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Signature([inspect.Parameter(name, kind) for name in self._names])

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        usual = not kwargs and len(args) == len(self._names)
        given = args if usual else self.__signature__.bind(*args, **kwargs).args
        return self._steps.run(self, given)
