"""The depth multiplier rounds up, but not for float noise."""

import math

import pytest

from openwork.errors import ArgumentError
from openwork.patterns import depth_multiplier


@pytest.mark.parametrize(
    ("width", "alpha", "expected"),
    [
        (64, 1.0, 64),
        (64, 0.5, 32),
        (5, 0.5, 3),
        (30, 0.1, 3),
        (100, 0.07, 7),
        (100, 0.29, 29),
        (10, 0.1 + 0.2, 3),
        (30, 1 / 3, 10),
        (128, math.sqrt(0.25), 64),
        (64, 0.05, 4),
        (64, 0.001, 1),
        (64, 1e-12, 1),
        (64, 2.0, 128),
    ],
)
def test_depth_multiplier_rounds_up_exactly(width: int, alpha: float, expected: int) -> None:
    assert depth_multiplier(width, alpha) == expected


def test_float_noise_would_mislead_a_plain_ceil() -> None:
    assert math.ceil(0.07 * 100) == 8
    assert math.ceil((0.1 + 0.2) * 10) == 4


@pytest.mark.parametrize("alpha", [0.0, -0.5, math.nan, math.inf, 1e308, "0.5", True])
def test_depth_multiplier_refuses_a_bad_multiplier(alpha: float) -> None:
    with pytest.raises(ArgumentError, match=r"`alpha`=.*must be a finite number"):
        depth_multiplier(64, alpha)


def test_depth_multiplier_refuses_an_empty_layer() -> None:
    with pytest.raises(ArgumentError, match="`width`=0"):
        depth_multiplier(0, 0.5)
