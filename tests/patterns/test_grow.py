"""`grow`: nothing dies, the order is one, and random patterns grow into random patterns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openwork.errors import ArgumentError
from openwork.patterns import Pattern, block, dense, grow, random

_sizes = st.integers(1, 30)
_densities = st.floats(0.001, 1)
_seeds = st.integers(0, 2**40)
_fans = st.sampled_from(["fixed", "uniform"])


def _within(small: Pattern, large: Pattern) -> bool:
    return bool(np.isin(small.positions, large.positions).all())


@given(_sizes, _sizes, _densities, _densities, _fans, st.sampled_from([1, 3]), _seeds)
def test_a_random_pattern_grows_into_the_denser_random_pattern(
    rows: int, columns: int, one: float, two: float, fan: str, groups: int, seed: int
) -> None:
    sizes = (rows * groups, columns * groups, 3)
    sparser = random(*sizes, min(one, two), fan, groups=groups, seed=seed)
    denser = random(*sizes, max(one, two), fan, groups=groups, seed=seed)
    assert grow(sparser, max(one, two), fan, seed=seed) == denser


@given(_sizes, _sizes, _densities, _densities, _densities, _fans, _seeds)
def test_whatever_lived_lives_on_at_every_later_density(
    rows: int, columns: int, start: float, one: float, two: float, fan: str, seed: int
) -> None:
    taps = np.random.default_rng(seed).random((rows, columns)) < start
    pattern = Pattern(taps)
    sparser = grow(pattern, min(one, two), fan, seed=seed)
    denser = grow(pattern, max(one, two), fan, seed=seed)
    assert _within(pattern, sparser)
    assert _within(sparser, denser)
    assert grow(sparser, max(one, two), fan, seed=seed) == denser


@given(_sizes, _sizes, _densities, _seeds)
def test_fixed_fan_in_fills_every_filter_up_to_the_same_number(
    rows: int, columns: int, density: float, seed: int
) -> None:
    pattern = Pattern(np.random.default_rng(seed).random((rows, columns)) < 0.3)
    grown = grow(pattern, density, seed=seed)
    least = max(int(density * columns + 0.5), -(-columns // rows))
    assert (grown.fan_in >= least).all()
    assert (grown.fan_in <= np.maximum(least, pattern.fan_in)).all()


def test_channels_without_any_connection_come_alive_first() -> None:
    taps = np.zeros((8, 8), dtype=bool)
    taps[:4, :4] = True
    grown = grow(Pattern(taps), 24 / 64, "uniform", seed=5)
    assert grown.live == 24
    assert grown.fan_in.min() >= 1
    assert grown.fan_out.min() >= 1


def test_growing_to_everything_is_dense_and_to_less_is_nothing() -> None:
    pattern = block(8, 12, 3, 0.5, b_out=2)
    assert grow(pattern, 1.0) == dense(8, 12, 3)
    assert grow(pattern, 0.25, seed=9) == pattern


def test_a_large_pattern_grows_in_slices() -> None:
    sparser = random(2048, 1024, (), 0.01, seed=3)
    assert grow(sparser, 0.02, seed=3) == random(2048, 1024, (), 0.02, seed=3)


def test_single_taps_do_not_grow() -> None:
    taps = np.zeros((2, 2, 3, 3), dtype=bool)
    taps[:, :, 1, 1] = True
    with pytest.raises(ArgumentError, match=r"`pattern` of shape .* single dead taps"):
        grow(Pattern(taps), 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"density": 0}, "`density`=0"),
        ({"density": 0.5, "fan": "free"}, "`fan`='free'"),
        ({"density": 0.5, "seed": -1}, "`seed`=-1"),
    ],
)
def test_bad_parameters_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        grow(random(4, 4), **arguments)
