"""`dense`: everything lives."""

import pytest

from openwork.errors import ArgumentError
from openwork.patterns import dense


def test_every_tap_lives() -> None:
    pattern = dense(4, 6, (3, 1), groups=2)
    assert pattern.shape == (4, 3, 3, 1)
    assert pattern.groups == 2
    assert pattern.density == 1
    assert pattern.live == 36
    assert pattern.fan_in.tolist() == [3] * 4
    assert pattern.fan_out.tolist() == [2] * 6


def test_one_number_is_a_square_kernel_and_none_a_linear_layer() -> None:
    assert dense(2, 2, 3).shape == (2, 2, 3, 3)
    assert dense(2, 2).shape == (2, 2)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ArgumentError, match="`out_channels`=0 must be a whole number"):
        dense(0, 2)
    with pytest.raises(ArgumentError, match=r"`groups`=3 must divide both .* feasible: 1, 2"):
        dense(4, 6, groups=3)
