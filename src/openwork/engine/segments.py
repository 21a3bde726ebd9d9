"""From a graph, and what runs each layer, to the parts that one call runs after another."""

from collections.abc import Mapping
from typing import Any

from openwork.engine.graph import Conv, Graph, Island, Node, root
from openwork.engine.program import Native, Segment, TorchConv
from openwork.engine.torch_operator import TorchOperator
from openwork.engine.tune.tournament import TORCH
from openwork.engine.tune.tuner import problem_of
from openwork.kernels.dispatch import candidates

Runners = Mapping[int, Any]
"""What runs each convolution, by the node's id: a packed layer, or a `TorchConv`."""


def runner(conv: Conv, kernel: str, isa: str) -> Any:
    """`conv` packed for `kernel`, or a `TorchConv`.

    Args:
        conv: the layer.
        kernel: a candidate's name, or "torch".
        isa: instruction set.
    """
    if kernel == TORCH:
        return TorchConv(conv)
    problem = problem_of(conv)
    return next(c for c in candidates(problem, isa) if c.name == kernel).build(problem)


def segments(graph: Graph, runners: Runners, isa: str) -> list[Segment]:
    """The graph's nodes in order, neighbours that the kernels run joined to one program.

    Args:
        graph: its convolutions need no weights any more.
        runners: what runs them.
        isa: instruction set.
    """
    groups: list[list[Node]] = []
    for node in graph.nodes:
        if _is_native(node, runners) and groups and _is_native(groups[-1][-1], runners):
            groups[-1].append(node)
        else:
            groups.append([node])
    found: list[Segment] = []
    wanted = {id(root(value)) for value in graph.outputs}
    for group in reversed(groups):
        first = group[0]
        if isinstance(first, Island):
            found.append(TorchOperator(first))
        elif not _is_native(first, runners):
            found.append(runners[id(first)])
        else:
            layers = {id(node): runners[id(node)] for node in group if isinstance(node, Conv)}
            found.append(Native(group, layers, wanted, isa))
        wanted |= {id(root(value)) for node in group for value in node.inputs}
    return found[::-1]


def _is_native(node: Node, runners: Runners) -> bool:
    if isinstance(node, Island):
        return False
    return not (isinstance(node, Conv) and isinstance(runners[id(node)], TorchConv))
