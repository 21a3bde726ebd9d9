"""Copies to other places, padding and other sizes: what they read lies within the input."""

from typing import Any

import numpy as np
import pytest

from openwork.runtime.file_errors import MalformedFile
from openwork.runtime.node import Node, check_node
from openwork.runtime.nodes import Pad, Rearrange, Resample
from openwork.runtime.values import Value

X, Y = Value((2, 3, 4), "x"), Value((2, 5, 4), "y")
PLACES, WEIGHTS = np.array([[0, 2, 1, 0, 2]], np.int32), np.ones((1, 5), np.float32)
COLUMNS = np.array([[0, 1, 2, 3]], np.int32)


def _rearrange(first: int, *axes: tuple[int, int], output: Value | None = None) -> Rearrange:
    sizes, steps = zip(*axes, strict=True)
    made = output or Value((int(np.prod(sizes)),), "y")
    return Rearrange([X], made, first, sizes, steps)


def _resample(**changed: Any) -> Resample:
    tables = {"rows": PLACES, "row_weights": WEIGHTS, "columns": COLUMNS, "column_weights": None}
    return Resample([X], Y, **{**tables, **changed})


@pytest.mark.parametrize(
    "node",
    [
        _rearrange(0, (24, 1)),
        _rearrange(23, (24, -1)),
        _rearrange(5, (7, 0)),
        _rearrange(0, (4, 1), (6, 4)),
        Pad([X], Y, (0, 1, 0), 0.5),
        Pad([X], X, (0, 0, 0), 0.0),
        _resample(),
        _resample(row_weights=None),
    ],
)
def test_sizes_that_fit(node: Node) -> None:
    check_node(node)


@pytest.mark.parametrize(
    ("node", "rule"),
    [
        (_rearrange(1, (24, 1)), r"its places must lie in \[0, 23\]"),
        (_rearrange(-1, (3, 1)), "its places must lie in"),
        (_rearrange(22, (24, -1)), "its places must lie in"),
        (_rearrange(0, (2, 1 << 40)), "its places must lie in"),
        (_rearrange(0, (3, 1), output=Y), "its sizes must have 40 numbers in all"),
        (_rearrange(0, *[(1, 1)] * 8), "must have 1 to 7 axes"),
        (Rearrange([X], Y, 0, (40,), (0, 0)), "each axis must have a step"),
        (Rearrange([X], Y, 0, (-40, -1), (0, 0)), "sizes must be at least 1"),
        (Pad([X], Y, (0, 3, 0), 0.0), "must lie within"),
        (Pad([X], Y, (0, -1, 0), 0.0), "must lie within"),
        (Pad([X], Y, (0, 1), 0.0), "axes must be the same"),
        (_resample(rows=PLACES + 1), r"places must lie in \[0, 2\]"),
        (_resample(rows=PLACES - 1), r"places must lie in \[0, 2\]"),
        (_resample(rows=PLACES.astype(np.int64)), "places must be int32"),
        (_resample(rows=PLACES[0]), r"places must be of shape \(taps, 5\)"),
        (_resample(columns=PLACES), r"places must be of shape \(taps, 4\)"),
        (_resample(rows=np.repeat(PLACES, 2, 0), row_weights=None), "must have weights"),
        (_resample(row_weights=WEIGHTS[:, :4]), "weights must be float32 of shape"),
        (_resample(row_weights=WEIGHTS.astype(float)), "weights must be float32 of shape"),
        (Resample([X], Value((40,), "y"), PLACES, None, COLUMNS, None), "must both be"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_sizes_must_fit(node: Node, rule: str) -> None:
    with pytest.raises(MalformedFile, match=rule):
        check_node(node)
