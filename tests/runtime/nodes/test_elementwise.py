"""Sums, factors and gates: their sizes, and what they may overwrite."""

import numpy as np
import pytest

from openwork.runtime.file_errors import MalformedFile
from openwork.runtime.node import Node, check_node
from openwork.runtime.nodes import Add, Affine, Gate
from openwork.runtime.values import Alias, Value

X, Y, GATES = Value((2, 3, 3), "x"), Value((2, 3, 3), "y"), Value((2, 1, 1), "g")
TWO = np.ones(2)


@pytest.mark.parametrize(
    "node",
    [
        Add([X, Alias(X, (18,))], Y, "relu"),
        Affine([X], Y, TWO, TWO.astype(np.float32)),
        Gate([X, GATES], Y),
    ],
    ids=lambda node: type(node).__name__,
)
def test_sizes_that_fit(node: Node) -> None:
    check_node(node)
    assert X in node.overwritable()


@pytest.mark.parametrize(
    ("node", "rule"),
    [
        (Add([GATES], Y), "'g' of shape .* must be as large as its output"),
        (Affine([X], Y, np.ones(3), TWO), "scale and shift must be floats"),
        (Affine([X], Y, TWO, np.ones(2, int)), "scale and shift must be floats"),
        (Gate([X, X], Y), "2 gates, one for each map"),
        (Gate([X], Y), "must have 2 inputs, not 1"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_sizes_must_fit(node: Node, rule: str) -> None:
    with pytest.raises(MalformedFile, match=rule):
        check_node(node)


def test_gates_that_gate_themselves_are_not_overwritten() -> None:
    assert Gate([GATES, Alias(GATES, (2,))], Value((2, 1, 1), "out")).overwritable() == []
