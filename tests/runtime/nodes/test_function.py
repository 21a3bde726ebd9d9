"""Functions of each number and of two, slopes and softmax: their sizes."""

import numpy as np
import pytest

from openwork.runtime.file_errors import MalformedFile
from openwork.runtime.node import Node, check_node
from openwork.runtime.nodes import Arithmetic, PointFunction, PRelu, Softmax
from openwork.runtime.values import Value

X, Y, SMALL = Value((2, 3, 3), "x"), Value((2, 3, 3), "y"), Value((2,), "s")
SLOPE = np.ones(2, np.float32)


@pytest.mark.parametrize(
    "node",
    [
        PointFunction([X], Y, "clamp", (0.0, 1.0)),
        PointFunction([X], Y, "gelu"),
        Arithmetic([X, X], Y, "product"),
        PRelu([X], Y, SLOPE),
        Softmax([X], Y, 2, True),
    ],
    ids=lambda node: type(node).__name__,
)
def test_sizes_that_fit(node: Node) -> None:
    check_node(node)
    assert X in node.overwritable()


def test_a_function_is_a_step_of_its_name() -> None:
    assert PointFunction([X], Y, "gelu").step == ("y", "gelu")
    assert Arithmetic([X, X], Y, "quotient").step == ("y", "quotient")


@pytest.mark.parametrize(
    ("node", "rule"),
    [
        (PointFunction([X], SMALL, "gelu"), "must be as large as its output"),
        (PointFunction([X], Y, "sin"), "'sin' must be one of abs, clamp"),
        (PointFunction([X], Y, "clamp", (0.0,)), "clamp must have 2 numbers"),
        (PointFunction([X, X], Y, "gelu"), "must have 1 inputs, not 2"),
        (Arithmetic([X, SMALL], Y, "product"), "'s' of shape .* must be as large as its output"),
        (Arithmetic([X, X], Y, "power"), "'power' must be one of difference"),
        (Arithmetic([X], Y, "product"), "must have 2 inputs, not 1"),
        (PRelu([X], Y, np.ones(3, np.float32)), r"float32 of shape \(2,\)"),
        (PRelu([X], Y, np.ones(2)), r"float32 of shape \(2,\)"),
        (Softmax([X], Y, 3), r"`axis`=3 must lie in \[0, 2\]"),
        (Softmax([X], Y, -1), r"`axis`=-1 must lie in"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_sizes_must_fit(node: Node, rule: str) -> None:
    with pytest.raises(MalformedFile, match=rule):
        check_node(node)
