"""Block patterns: neighbours live or die together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openwork.errors import ArgumentError
from openwork.patterns import block, dense, random


@given(
    st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 3]), st.sampled_from([1, 2]), st.floats(0, 1)
)
def test_blocks_live_or_die_as_one(b_out: int, b_in: int, groups: int, density: float) -> None:
    pattern = block(16, 24, 3, max(density, 0.01), b_out, b_in, groups=groups, seed=4)
    alive = pattern.taps[:, :, 0, 0]
    blocks = alive.reshape(16 // b_out, b_out, 24 // groups // b_in, b_in)
    assert np.array_equal(blocks.any(axis=(1, 3)), blocks.all(axis=(1, 3)))
    assert pattern.fan_in.min() >= 1
    assert pattern.fan_out.min() >= 1


def test_blocks_of_one_are_the_random_pattern() -> None:
    assert block(16, 24, 3, 0.2, 1, 1, seed=9) == random(16, 24, 3, 0.2, seed=9)


def test_a_linear_layer_takes_blocks_too() -> None:
    assert block(8, 8, (), 0.5, 2, 2).shape == (8, 8)
    assert block(8, 8, (), 1.0, 2, 2) == dense(8, 8)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((3, 1), "`b_out`=3 must divide the 8 filters of a group; feasible: 1, 2, 4, 8"),
        ((4, 5), "`b_in`=5 must divide the 12 inputs of a group; feasible: 1, 2, 3, 4, 6, 12"),
        ((0, 1), "`b_out`=0"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(sizes: tuple[int, int], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        block(8, 12, 3, 0.5, *sizes)
