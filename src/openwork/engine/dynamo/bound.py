"""`Bound`: a graph of torch.compile as a module, its weights in their places."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx, nn


class Refused(Exception):
    """A graph does not run on the engine; the text says why."""


class Bound(nn.Module):
    """A graph whose weights are parameters and buffers again, and whose inputs are tensors alone.

    torch.compile makes everything that a graph reads its inputs: parameters, buffers, and a number
    for each length that varies. Here such a number is read from the shape of an input that has it.

    Args:
        graph: what torch.compile made.
        given: what it is called with first: a tensor or a number for each placeholder.

    Attributes:
        weights: index of each argument of the graph that is a parameter or a buffer.
        inputs: index of each that is another tensor.
        varies: (input, axis) of each length that varies, by its place in `inputs`.

    Raises:
        Refused: an input or a result is neither a tensor nor the length of one.
    """

    def __init__(self, graph: fx.GraphModule, given: Sequence[Any]) -> None:
        super().__init__()
        self.graph = graph
        places = graph.graph.find_nodes(op="placeholder")
        self.weights = [index for index, place in enumerate(places) if _is_weight(place)]
        self.inputs = [
            index
            for index, value in enumerate(given)
            if isinstance(value, torch.Tensor) and index not in self.weights
        ]
        self.bind(given)
        axes: dict[str, tuple[int, int]] = {}
        self.varies: list[tuple[int, int]] = []
        for number, index in enumerate(self.inputs):
            for axis, length in enumerate(places[index].meta["example_value"].shape):
                if isinstance(length, torch.SymInt):
                    axes.setdefault(str(length.node.expr), (number, axis))
                    self.varies.append((number, axis))
        self._lengths: dict[int, tuple[int, int]] = {}
        for index in set(range(len(places))) - {*self.weights, *self.inputs}:
            symbol = str(places[index].meta.get("example_value"))
            if symbol not in axes:
                raise Refused(f"an argument is a {type(given[index]).__name__}, not a tensor")
            self._lengths[index] = axes[symbol]
        self._arguments = len(places)
        self._results = [
            _result(item, places)
            for item in graph.graph.output_node().args[0]  # type: ignore[union-attr]
        ]

    def weights_in(self, given: Sequence[Any]) -> list[torch.Tensor]:
        """The weights among `given`, which must be all arguments of the graph."""
        return [given[index] for index in self.weights]

    def bind(self, given: Sequence[Any]) -> None:
        """Hold the weights among `given`, which must be all arguments of the graph."""
        for index in self.weights:
            name, weight = f"weight_{index}", given[index]
            if hasattr(self, name):
                delattr(self, name)
            if isinstance(weight, nn.Parameter):
                self.register_parameter(name, weight)
            else:
                self.register_buffer(name, weight)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        arguments: list[Any] = [None] * self._arguments
        for index in self.weights:
            arguments[index] = getattr(self, f"weight_{index}")
        for index, tensor in zip(self.inputs, inputs, strict=True):
            arguments[index] = tensor
        for index, (number, axis) in self._lengths.items():
            arguments[index] = inputs[number].shape[axis]
        results = self.graph(*arguments)
        return tuple(each for each, kept in zip(results, self._results, strict=True) if kept is ...)

    def results(self, given: Sequence[Any], tensors: Sequence[torch.Tensor]) -> list[Any]:
        """What the graph returns.

        Args:
            given: its arguments.
            tensors: the tensors among what it returns.
        """
        made = iter(tensors)
        return [
            next(made) if kept is ... else given[kept] if kept is not None else None
            for kept in self._results
        ]


def _is_weight(place: fx.Node) -> bool:
    if isinstance(place.meta.get("example_value"), torch.SymInt | int | float):
        return False
    source: Any = vars(place).get("_dynamo_source")
    return source is not None and (
        source.guard_source.is_unspecialized_nn_module()
        or source.guard_source.is_specialized_nn_module()
    )


def _result(item: Any, places: Sequence[fx.Node]) -> Any:
    """Ellipsis for a tensor, the index of the argument for a length, None for None.

    Raises:
        Refused: it is something else.
    """
    if item is None:
        return None
    value = item.meta.get("example_value") if isinstance(item, fx.Node) else item
    if isinstance(value, torch.Tensor):
        return ...
    if item in places:
        return places.index(item)
    raise Refused(f"a result is a {type(value).__name__} that is computed, not a tensor")
