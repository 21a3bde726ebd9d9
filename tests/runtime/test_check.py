"""Graphs that come from a file: what is read was made before, and only once."""

import pytest

from openwork.runtime.check import check_order
from openwork.runtime.file_errors import MalformedFile
from openwork.runtime.graph import Graph
from openwork.runtime.nodes import Add
from openwork.runtime.values import Alias, Value


def test_values_are_made_once_and_before_they_are_read() -> None:
    x, y, z = (Value((2, 3, 3), name) for name in "xyz")
    one, two = Add([x], y), Add([Alias(y, (18,))], z)
    check_order(Graph([x], [z, 3], [one, two]))
    for graph in (
        Graph([x], [z], [two, one]),
        Graph([x], [z], [one]),
        Graph([x], [y], [one, one]),
        Graph([x, x], [y], [one]),
        Graph([x], [x], [Add([x], x)]),
        Graph([Alias(x, (18,))], [y], [one]),
    ):
        with pytest.raises(MalformedFile, match="made"):
            check_order(graph)
