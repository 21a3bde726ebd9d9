"""Rules for graphs that come from a file."""

import numpy as np
import pytest

from openwork.engine import valid
from openwork.engine.graph import Add, Alias, Graph, Island, Mean, Node, Slice, Value
from openwork.engine.plain import Unplain


def test_every_kind_of_node_has_a_rule() -> None:
    assert {*valid._RULES, Island} == set(Node.__subclasses__())


def test_values_are_made_once_and_before_they_are_read() -> None:
    x, y, z = (Value((2, 3, 3), name) for name in "xyz")
    one, two = Add([x], y), Add([Alias(y, (18,))], z)
    valid.check_order(Graph([x], [z, 3], [one, two]))
    for graph in (
        Graph([x], [z], [two, one]),
        Graph([x], [z], [one]),
        Graph([x], [y], [one, one]),
        Graph([x, x], [y], [one]),
        Graph([x], [x], [Add([x], x)]),
        Graph([Alias(x, (18,))], [y], [one]),
    ):
        with pytest.raises(Unplain, match="made"):
            valid.check_order(graph)


@pytest.mark.parametrize(
    ("node", "what"),
    [
        (Add([Value((2,), "x")], Value((3,), "y")), "unequal sizes"),
        (Add([], Value((3,), "y")), "0 inputs"),
        (Add([Value((-1,), "x")], Value((3,), "y")), "a value of unknown size"),
        (Mean([Value((2, 3, 3), "x")], Value((3,), "y")), "no maps"),
        (Slice([Value((4, 3), "x")], Value((2, 3), "y"), 3), "channels that are not there"),
        (Slice([Value((4, 3), "x")], Value((2, 3), "y"), -1), "channels that are not there"),
        (Island([], Value((2,), "y"), np.add, (Value((2,), "x"),), {}, ""), "other inputs"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_sizes_must_fit(node: Node, what: str) -> None:
    with pytest.raises(Unplain, match=f"{type(node).__name__} 'y' has {what}"):
        valid.check_node(node)
