"""Graphs: who reads a value, and nodes in the place of others."""

from openwork.runtime.graph import Graph
from openwork.runtime.node import Node
from openwork.runtime.nodes import Add
from openwork.runtime.values import Alias, Value

X, A, B, C = (Value((2,), name) for name in "xabc")


def test_what_is_read_once() -> None:
    graph = Graph([X], [C, 3], [Add([X], A), Add([Alias(A, (1, 2))], B), Add([B, B], C)])
    assert graph.outputs == [C]
    assert [graph.read_once(value) for value in (X, A, B, C)] == [True, True, False, False]


def test_new_nodes_stand_where_the_last_old_one_stood() -> None:
    nodes: list[Node] = [Add([X], A), Add([X], B), Add([A], C)]
    graph = Graph([X], [C], list(nodes))
    new: list[Node] = [Add([X], A), Add([A], C)]
    graph.replace([nodes[0], nodes[2]], new)
    assert graph.nodes == [nodes[1], *new]
