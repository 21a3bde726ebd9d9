"""`OnnxNetwork`: the network that `from_onnx` gives, which runs its steps one after another."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from openwork.interchange.input_form import InputForm


@dataclass(frozen=True)
class Step:
    """One call of a function, of a module, or of nothing, for a parameter or buffer.

    Attributes:
        name: of the result.
        function: None where `target` is run.
        target: path of a module, parameter or buffer.
        args, kwargs: with a `Result` in the place of each earlier result.
        last: results that nothing reads afterwards.
    """

    name: str
    function: Any
    target: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    last: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What an earlier step gave.

    Attributes:
        name: of it.
    """

    name: str


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

    # Not fx.GraphModule: that prints a traceback wherever a call fails, also where that is
    # expected, and torch.export ignores the forward that `capture` gives a twin.

    def __init__(self, root: nn.Module, graph: fx.Graph, inputs: Sequence[InputForm]) -> None:
        super().__init__()
        for name, module in root._modules.items():
            self.add_module(name, module)
        for name, parameter in root._parameters.items():
            self.register_parameter(name, parameter)
        for name, buffer in root._buffers.items():
            self.register_buffer(name, buffer)
        self.inputs = tuple(inputs)
        nodes = _read(graph)
        given = [node for node in nodes if node.op == "placeholder"]
        # A node may be called otherwise than the input that it stands for.
        self._names = tuple(str(node.target) for node in given)
        self._nodes = tuple(node.name for node in given)
        self._results = _with_results(nodes[-1].args[0])
        self._steps = _steps([node for node in nodes if node.op not in ("placeholder", "output")])

    @property
    def __signature__(self) -> inspect.Signature:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Signature([inspect.Parameter(name, kind) for name in self._names])

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        usual = not kwargs and len(args) == len(self._names)
        given = args if usual else self.__signature__.bind(*args, **kwargs).args
        known: dict[str, Any] = dict(zip(self._nodes, given, strict=True))
        for step in self._steps:
            run = step.function
            if run is None:
                run = _found(self, step.target)
            if isinstance(run, nn.Module) or step.function is not None:
                known[step.name] = run(
                    *_filled(step.args, known),
                    **{name: _filled(each, known) for name, each in step.kwargs.items()},
                )
            else:
                known[step.name] = run
            for name in step.last:
                del known[name]
        return _filled(self._results, known)


def _found(network: nn.Module, target: str) -> Any:
    """The module, parameter or buffer at a path."""
    found: Any = network
    for part in target.split("."):
        found = getattr(found, part)
    return found


def _filled(argument: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(argument, Result):
        return known[argument.name]
    if isinstance(argument, list):
        return [_filled(each, known) for each in argument]
    if isinstance(argument, tuple):
        return tuple(_filled(each, known) for each in argument)
    return argument


def _read(graph: fx.Graph) -> list[fx.Node]:
    """The nodes whose results are read."""
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)
    return list(graph.nodes)


def _steps(nodes: Sequence[fx.Node]) -> tuple[Step, ...]:
    order = {node: index for index, node in enumerate(nodes)}
    # What the network gives is kept to the end.
    last: dict[int, list[str]] = {index: [] for index in order.values()}
    for node in nodes:
        if all(user in order for user in node.users):
            last[max(order[user] for user in node.users)].append(node.name)
    return tuple(
        Step(
            node.name,
            node.target if node.op == "call_function" else None,
            "" if node.op == "call_function" else str(node.target),
            tuple(_with_results(each) for each in node.args),
            {name: _with_results(each) for name, each in node.kwargs.items()},
            tuple(last[index]),
        )
        for index, node in enumerate(nodes)
    )


def _with_results(argument: Any) -> Any:
    if isinstance(argument, fx.Node):
        return Result(argument.name)
    if isinstance(argument, list | tuple):
        changed = [_with_results(each) for each in argument]
        return changed if isinstance(argument, list) else tuple(changed)
    return argument
