"""Norms, reductions and weighted sums: their sizes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from openwork.runtime.file_errors import MalformedFile
from openwork.runtime.node import Node, check_node
from openwork.runtime.nodes import Dot, Normalize, Reduce, Spread
from openwork.runtime.values import Value

X, Y, SMALL, ROW = (Value(shape, "x") for shape in ((2, 3, 5), (2, 3, 5), (2,), (15,)))
ONES = np.ones(3, np.float32)


@pytest.mark.parametrize(
    "node",
    [
        Normalize([X], Y, 3, 5, 1, 1e-5, ONES, None),
        Normalize([X], Y, 30, 1, 15, 0.0, np.ones(2, np.float32), np.ones(2, np.float32)),
        Normalize([X], Y, 15, 1, 15, 0.0, None, np.ones(1, np.float32)),
        Normalize([X], Y, 15, 1, 5, 0.0, None, np.ones(6, np.float32), "relu"),
        Spread([X, SMALL], Y, "sum"),
        Spread([X, ROW], Y, "quotient", 15),
    ],
    ids=lambda node: type(node).__name__,
)
def test_sizes_that_fit(node: Node) -> None:
    check_node(node)
    assert list(node.overwritable()) == [X]


def test_what_reduces_may_not_overwrite_what_it_reads() -> None:
    for node in (Reduce([X], SMALL, "mean", 15, 1), Dot([X, ROW], SMALL)):
        check_node(node)
        assert not node.overwritable()
    # Each number of the second is read for several of the first.
    assert not Spread([X, X], Y, "sum").overwritable()


def test_steps_are_called_what_they_compute() -> None:
    assert Reduce([X], SMALL, "norm", 15, 1).step == ("x", "norm")
    assert Spread([X, SMALL], Y, "sum").step == ("x", "sum")
    assert Normalize([X], Y, 3, 5, 1, 0.0, None, None).step == ("x", "normalize")


def _norm(**changed: Any) -> Normalize:
    good: dict[str, Any] = {"size": 3, "inner": 5, "repeat": 1, "eps": 0.0}
    return Normalize([X], Y, **{**good, "weight": ONES, "bias": ONES, **changed})


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: _norm(size=4), "must divide 30 numbers"),
        (lambda: _norm(size=0), "must divide 30 numbers"),
        (lambda: _norm(inner=-5), "must divide 30 numbers"),
        (lambda: _norm(eps=-1.0), "`eps`=-1.0 must be at least 0"),
        (lambda: _norm(eps=float("nan")), "`eps`=nan must be at least 0"),
        (lambda: _norm(repeat=0), "`repeat`=0 must be at least 1"),
        (lambda: _norm(repeat=3), "columns must have a `repeat` of 1"),
        (lambda: _norm(weight=np.ones(4, np.float32)), r"of a shape in \[\(3,\), \(6,\)\]"),
        (lambda: _norm(bias=np.ones(3)), "must be float32 of a shape"),
        (lambda: _norm(bias=np.ones(6, np.float32)), "must have the same shape"),
        (lambda: _norm(size=30, inner=1, repeat=7), r"of a shape in \[\]"),
        (lambda: Normalize([X], SMALL, 3, 5, 1, 0.0, None, None), "as large as its output"),
        (lambda: Reduce([X], SMALL, "median", 15, 1), "'median' must be one of mean, variance"),
        (lambda: Reduce([X], SMALL, "mean", 4, 1), "must divide 30 numbers"),
        (lambda: Reduce([X], SMALL, "mean", 3, 1), "the output must have 10 numbers"),
        (lambda: Dot([X, SMALL], SMALL), "must have 4 numbers"),
        (lambda: Spread([X, SMALL], Y, "power"), "'power' must be one of difference"),
        (lambda: Spread([X, SMALL], Y, "sum", 3), "`inner`=3 must divide the 2 numbers"),
        (lambda: Spread([X, SMALL], Y, "sum", 0), "`inner`=0 must divide"),
        (lambda: Spread([X, Value((4,), "four")], Y, "sum"), "'four' must fit into 'x'"),
        (lambda: Spread([SMALL, SMALL], Y, "sum"), "must be as large as its output"),
    ],
)
def test_sizes_must_fit(make: Callable[[], Node], rule: str) -> None:
    with pytest.raises(MalformedFile, match=rule):
        check_node(make())
