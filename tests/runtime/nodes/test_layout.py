"""Concatenations and slices: their sizes, and where their values lie."""

import pytest

from openwork.runtime.file_errors import MalformedFile
from openwork.runtime.node import Node, check_node
from openwork.runtime.nodes import Concat, Slice
from openwork.runtime.values import Value

A, B, Y = Value((1, 2, 2), "a"), Value((2, 2, 2), "b"), Value((4, 2, 2), "y")


def test_where_the_pieces_lie() -> None:
    concat = Concat([A, B], Y, [A, None, B], [1, 1, 2])
    check_node(concat)
    assert concat.pieces() == [(A, 4), (None, 4), (B, 8)]
    part = Slice([Y], B, 1)
    check_node(part)
    assert part.part_of() == (Y, 4)


@pytest.mark.parametrize(
    ("node", "rule"),
    [
        (Concat([], Y, [], []), "must have a part"),
        (Concat([A, B], Y, [A, B], [1]), "each part must have its channels"),
        (Concat([A], Y, [A, B], [2, 2]), "its parts must be its inputs"),
        (Concat([A], Y, [A, None], [4, 0]), "each part must have a channel"),
        (Concat([A, B], Y, [A, B], [1, 2]), "must have 4 channels in all"),
        (Concat([A, B], Y, [A, B], [2, 2]), "'a' must have 8 numbers"),
        (Slice([Y], Value((1, 4), "z"), 0), "must be as large as those of"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_sizes_must_fit(node: Node, rule: str) -> None:
    with pytest.raises(MalformedFile, match=rule):
        check_node(node)
