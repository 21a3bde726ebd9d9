"""Nodes that no result depends on are removed."""

from openwork.engine.passes.remove_unread import remove_unread
from openwork.runtime.graph import Graph
from openwork.runtime.nodes import Add
from openwork.runtime.values import Alias, Value


def test_only_what_results_depend_on_is_left() -> None:
    x, a, b, c, d = (Value((2, 3), name) for name in "xabcd")
    first, unread, behind_it, last = Add([x], a), Add([x], b), Add([b], c), Add([Alias(a, (6,))], d)
    graph = Graph([x], [Alias(d, (6,)), 3], [first, unread, behind_it, last])
    remove_unread(graph)
    assert graph.nodes == [first, last]
