"""The pass that removes nodes whose output is not needed."""

from openwork.runtime.graph import Graph
from openwork.runtime.node import Node
from openwork.runtime.values import root


def remove_unread(graph: Graph) -> None:
    """Remove nodes that no result depends on, in place."""
    needed = {root(value) for value in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if root(node.output) in needed:
            kept.append(node)
            needed |= {root(value) for value in node.inputs}
    graph.nodes = kept[::-1]
