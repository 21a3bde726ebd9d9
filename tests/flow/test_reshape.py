"""Views of tensors that lost channels."""

import numpy as np
import pytest

from openwork.flow.atoms import Layout
from openwork.flow.reshape import blocks, reshaped, split_rows


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((2, 6), (2, 2, 3), [((0, 1), (0, 1)), ((1, 2), (1, 3))]),
        ((2, 3, 4), (2, 12), [((0, 1), (0, 1)), ((1, 3), (1, 2))]),
        ((2, 6, 1, 1), (2, 6), [((0, 1), (0, 1)), ((1, 4), (1, 2))]),
        ((6,), (1, 6, 1, 1), [((0, 1), (0, 4))]),
        ((4, 6), (6, 4), [((0, 2), (0, 2))]),
    ],
)
def test_blocks_hold_the_same_numbers(before: tuple, after: tuple, expected: list) -> None:
    assert list(blocks(before, after)) == expected


@pytest.mark.parametrize(
    ("before", "after", "now", "expected"),
    [
        ((2, 8, 5, 5), (2, 2, 4, 5, 5), (2, 6, 5, 5), (2, 2, 3, 5, 5)),
        ((2, 8, 5, 5), (2, 200), (2, 3, 5, 5), (2, 75)),
        ((2, 2, 4, 5), (2, 8, 5), (2, 2, 1, 5), (2, 2, 5)),
        ((8,), (1, 8, 1, 1), (3,), (1, 3, 1, 1)),
        ((2, 8, 1, 1), (2, 8), (2, 1, 1, 1), (2, 1)),
    ],
)
def test_the_shape_follows(before: tuple, after: tuple, now: tuple, expected: tuple) -> None:
    assert reshaped(before, after, now) == expected


def test_what_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="does not divide"):
        reshaped((2, 8), (2, 2, 4), (2, 7))


def test_rows_of_a_cut_axis() -> None:
    ids = np.arange(1, 7).reshape(1, 2, 3, 1)
    rows = split_rows((2, 6, 5), (2, 2, 3, 5), Layout((2, 2, 3, 5), ids))
    assert rows is not None
    assert rows.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert split_rows((2, 6, 5), (2, 30), Layout.of(np.ones((2, 30), dtype=int))) is None
