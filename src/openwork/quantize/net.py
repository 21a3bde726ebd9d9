"""`Net`: a captured network as a graph of operators and the tensors that it holds."""

import itertools
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx
from torch.fx.node import map_arg

from openwork.capture import Captured
from openwork.capture.operators import arguments
from openwork.capture.out_of_place import out_of_place
from openwork.capture.qdq import DEQUANTIZE, DEQUANTIZE_CHANNELS

# Operators that change no number in evaluation mode.
_NOTHING = frozenset(
    {"dropout", "feature_dropout", "alpha_dropout", "detach", "alias", "lift_fresh_copy", "clone"}
)


@dataclass(eq=False)
class Net:
    """A network.

    Attributes:
        graph: placeholders, operators of torch, and get_attr nodes for the tensors.
        tensors: target of a get_attr node -> its tensor.
        layers: name of a node with a weight -> the layer that it is.
    """

    graph: fx.Graph
    tensors: dict[str, torch.Tensor]
    layers: dict[str, str] = field(default_factory=dict)

    def constant(self, node: Any) -> torch.Tensor | None:
        """The tensor that a node stands for; None if it is computed."""
        held = isinstance(node, fx.Node) and node.op == "get_attr"
        return self.tensors[str(node.target)] if held else None

    def hold(self, name: str, tensor: torch.Tensor) -> fx.Node:
        """A node for one more tensor, called `name` or alike, at the insertion point."""
        free = free_name(name, self.tensors)
        self.tensors[free] = tensor
        return self.graph.create_node("get_attr", free)

    def walk(
        self, batches: Sequence[Sequence[torch.Tensor]]
    ) -> Iterator[tuple[fx.Node, list[Any]]]:
        """Each node and what it gives for each of the batches, in order.

        Later nodes read what the caller puts in the place of a value.

        Args:
            batches: tensors `(N, ...)` of each, one for each placeholder.
        """
        known: dict[fx.Node, list[Any]] = {}
        given = zip(*batches, strict=True)
        left = {node: len(node.users) for node in self.graph.nodes}
        for node in self.graph.nodes:
            if node.op == "output":
                return
            if node.op == "placeholder":
                values = list(next(given))
            elif node.op == "get_attr":
                values = [self.tensors[str(node.target)]] * len(batches)
            else:
                values = [_computed(node, known, batch) for batch in range(len(batches))]
            known[node] = values
            yield node, values
            for source in node.all_input_nodes:
                left[source] -= 1
                if not left[source]:
                    known.pop(source, None)

    def outputs(self, inputs: Sequence[torch.Tensor]) -> list[Any]:
        """What the network gives, in a flat list.

        Args:
            inputs: tensors `(N, ...)`, one for each placeholder.
        """
        results = self.graph.find_nodes(op="output")[0].args[0]
        wanted = set(results) if isinstance(results, list | tuple) else {results}
        found = {node: value for node, (value,) in self.walk([inputs]) if node in wanted}
        return [found[node] for node in results if node in found]  # type: ignore[union-attr]


def free_name(name: str, taken: Container[str]) -> str:
    """`name`, or with the first number behind it that is not taken."""
    numbered = (f"{name}_{count}" for count in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in taken)


def name_of(node: fx.Node) -> str:
    """The operator's name without its library and overload, such as "conv2d"."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return getattr(node.target, "__name__", "")
    return schema.name.rpartition("::")[2]


@torch.no_grad()
def net_of(captured: Captured) -> Net:
    """The network of `captured`, with all that depends on constants alone computed."""
    net = Net(fx.Graph(), {})
    names = dict(captured.names)
    inputs = set(captured.program.graph_signature.user_inputs)
    nodes: dict[fx.Node, Any] = {}
    for node in captured.program.graph.nodes:
        if node.op == "placeholder" and node.name in inputs:
            nodes[node] = net.graph.node_copy(node)
        elif node.name in captured.constants and node.op != "call_function":
            tensor = captured.constants[node.name]
            if isinstance(tensor, torch.Tensor):
                nodes[node] = net.hold(names.get(node.name) or str(node.name), tensor.detach())
            else:
                nodes[node] = tensor
        elif node.op == "output":
            net.graph.output(map_arg(node.args[0], nodes.__getitem__))
        else:
            nodes[node] = _copied(net, node, nodes)
    net.graph.eliminate_dead_code()
    return net


def _computed(node: fx.Node, known: Mapping[fx.Node, list[Any]], batch: int) -> Any:
    args, kwargs = map_arg((node.args, node.kwargs), lambda source: known[source][batch])
    return node.target(*args, **kwargs)  # type: ignore[operator]


def _copied(net: Net, node: fx.Node, nodes: Mapping[fx.Node, Any]) -> Any:
    name = name_of(node)
    if name.rstrip("_") in _NOTHING:
        given = arguments(node)
        if not given.get("train", False):
            return nodes[next(iter(node.all_input_nodes))]
    args, kwargs = map_arg((node.args, node.kwargs), nodes.__getitem__)
    target = out_of_place(node.target) if callable(node.target) else None
    target = target or node.target
    made = net.graph.create_node("call_function", target, args, kwargs, node.name)
    made.meta = dict(node.meta)
    sources = made.all_input_nodes
    # Weights of 8 bits stay so.
    if target in (DEQUANTIZE, DEQUANTIZE_CHANNELS):
        return made
    if not sources or any(source.op != "get_attr" for source in sources):
        return made
    args, kwargs = map_arg((args, kwargs), net.constant)
    value = made.target(*args, **kwargs)  # type: ignore[operator]
    if not isinstance(value, torch.Tensor):
        return made
    net.graph.erase_node(made)
    return net.hold(_place(node), value)


def _place(node: fx.Node) -> str:
    """What a computed weight is called: after the module that computes it."""
    stack = node.meta.get("nn_module_stack") or {}
    path = next(reversed(stack.values()), ("",))[0] if stack else ""
    return f"{path}.{node.name}" if path else node.name
