"""From a graph, and what runs each layer, to the segments that a call runs one after another."""

from openwork.engine.fallback import Fallback, TorchConv, TorchOperator
from openwork.engine.native_segment import NativeSegment
from openwork.engine.runners import Runners
from openwork.engine.segment import Segment
from openwork.runtime.graph import Graph
from openwork.runtime.node import Node
from openwork.runtime.nodes import Conv
from openwork.runtime.program import Native
from openwork.runtime.values import root


def segments(graph: Graph, runners: Runners, isa: str) -> list[Segment]:
    """The graph's nodes in order; neighbours that the kernels run are one native program.

    Args:
        graph: its convolutions need no weights.
        runners: what runs them.
        isa: instruction set.
    """
    in_torch = {node: _torch_segment(node, runners) for node in graph.nodes}
    groups: list[list[Node]] = []
    for node in graph.nodes:
        if groups and in_torch[node] is None and in_torch[groups[-1][-1]] is None:
            groups[-1].append(node)
        else:
            groups.append([node])
    layers = {conv: each for conv, each in runners.items() if not isinstance(each, TorchConv)}
    parts: list[Segment] = []
    wanted = {root(value) for value in graph.outputs}
    for group in reversed(groups):
        segment = in_torch[group[0]]
        parts.append(segment or NativeSegment(Native(group, layers, wanted, isa)))
        wanted |= {root(value) for node in group for value in node.inputs}
    return parts[::-1]


def _torch_segment(node: Node, runners: Runners) -> Segment | None:
    """What runs `node` in torch; None if the kernels run it."""
    if isinstance(node, Fallback):
        return TorchOperator(node)
    runner = runners[node] if isinstance(node, Conv) else None
    return runner if isinstance(runner, TorchConv) else None
