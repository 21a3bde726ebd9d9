"""Channel-wise random patterns: degrees, density, determinism."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openwork.errors import ArgumentError
from openwork.patterns import random

_sizes = st.integers(1, 40)
_densities = st.floats(0.001, 1)
_seeds = st.integers(0, 2**40)
_fans = st.sampled_from(["fixed", "uniform"])


@given(_sizes, _sizes, _densities, _fans, _seeds)
def test_no_filter_is_dead_and_no_input_unread(
    rows: int, columns: int, density: float, fan: str, seed: int
) -> None:
    pattern = random(rows, columns, 3, density, fan, seed=seed)
    assert pattern.fan_in.min() >= 1
    assert pattern.fan_out.min() >= 1
    assert pattern.whole


@given(_sizes, _sizes, _densities, _seeds)
def test_fixed_fan_in_is_the_asked_share_of_the_inputs(
    rows: int, columns: int, density: float, seed: int
) -> None:
    pattern = random(rows, columns, 1, density, seed=seed)
    enough = -(-columns // rows)
    assert set(pattern.fan_in.tolist()) == {max(1, enough, int(density * columns + 0.5))}


@given(_sizes, _sizes, _densities, _seeds)
def test_uniform_keeps_the_asked_total(rows: int, columns: int, density: float, seed: int) -> None:
    pattern = random(rows, columns, (), density, "uniform", seed=seed)
    assert pattern.live == max(int(density * rows * columns + 0.5), rows, columns)


@given(_sizes, _sizes, _densities, _densities, _fans, st.sampled_from([1, 2, 3]), _seeds)
def test_a_denser_pattern_of_the_same_seed_contains_the_sparser_one(
    rows: int, columns: int, one: float, two: float, fan: str, groups: int, seed: int
) -> None:
    sizes = (rows * groups, columns * groups, ())
    if groups > 1:
        sizes = (*sizes[:2], 1)
    sparser = random(*sizes, min(one, two), fan, groups=groups, seed=seed)
    denser = random(*sizes, max(one, two), fan, groups=groups, seed=seed)
    assert np.isin(sparser.positions, denser.positions).all()


@given(_fans, _seeds)
def test_groups_draw_for_themselves(fan: str, seed: int) -> None:
    pattern = random(24, 36, 3, 0.3, fan, groups=3, seed=seed)
    assert pattern.shape == (24, 12, 3, 3)
    assert pattern.fan_out.shape == (36,)
    assert pattern.fan_out.min() >= 1
    blocks = pattern.taps.reshape(3, -1)
    assert not np.array_equal(blocks[0], blocks[1])


# Written down once, so that no platform, torch or numpy may ever draw another pattern.
@pytest.mark.parametrize(
    ("fan", "digest"),
    [
        ("fixed", "5142f23ef7c5a7d4"),
        ("uniform", "b32de2a86e406474"),
    ],
)
def test_the_same_seed_gives_the_same_pattern_everywhere(fan: str, digest: str) -> None:
    assert random(64, 48, 3, 0.1, fan, groups=2, seed=7).digest[:16] == digest


def test_another_seed_gives_another_pattern() -> None:
    assert random(64, 64, 3, 0.1, seed=0) != random(64, 64, 3, 0.1, seed=1)


@pytest.mark.parametrize("fan", ["fixed", "uniform"])
def test_every_input_is_chosen_equally_often(fan: str) -> None:
    counts = sum(random(50, 20, (), 0.3, fan, seed=seed).fan_out for seed in range(200))
    # 3000 expected each; a binomial's deviation is 46 to 55.
    assert np.abs(counts - 3000).max() < 300


def test_large_layers_are_drawn_in_slices() -> None:
    pattern = random(2048, 1024, (), 0.02, seed=3)
    assert set(pattern.fan_in.tolist()) == {20}
    rows = pattern.connections[:, 1].reshape(2048, 20)
    assert len({tuple(row) for row in rows.tolist()}) == 2048


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"density": 0}, r"`density`=0 must lie in \(0, 1\]"),
        ({"density": 1.5}, r"`density`=1.5 must lie in \(0, 1\]"),
        ({"density": float("nan")}, r"`density`=nan must lie"),
        ({"fan": "free"}, "`fan`='free' must be one of 'fixed', 'uniform'"),
        ({"groups": 5}, "feasible: 1, 2, 4"),
        ({"seed": -1}, "`seed`=-1"),
        ({"kernel": (3, 3, 3)}, "`kernel`"),
        ({"kernel": 0}, "`kernel`=0"),
    ],
)
def test_bad_parameters_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        random(8, 12, **arguments)
