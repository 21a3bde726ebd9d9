"""Structured patterns: equal fans, every pattern equally likely, and what is impossible."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pattern_cases import peak_bytes, regular_sizes

from openwork.errors import ArgumentError
from openwork.patterns import Pattern, dense, structured


@settings(deadline=None)
@given(regular_sizes(), st.sampled_from([(), 1, 3]), st.integers(0, 2**40))
def test_every_input_and_every_output_has_the_same_fan(
    sizes: tuple[int, int, int, int], kernel: int | tuple[()], seed: int
) -> None:
    outputs, inputs, groups, fan_out = sizes
    if not kernel:
        outputs, inputs, groups = outputs // groups, inputs // groups, 1
    pattern = structured(outputs, inputs, kernel, fan_out=fan_out, groups=groups, seed=seed)
    assert set(pattern.fan_out.tolist()) == {fan_out}
    assert set(pattern.fan_in.tolist()) == {inputs * fan_out // outputs}
    assert pattern.density == pytest.approx(fan_out * groups / outputs)
    assert pattern.whole


def test_a_density_says_the_same_as_its_fan_out() -> None:
    # The paper's example of two layers of 100 neurons with 1000 weights.
    assert structured(100, 100, density=0.1).live == 1000
    assert structured(100, 100, density=0.07) == structured(100, 100, fan_out=7)
    assert structured(6, 4, 3, density=1.0) == dense(6, 4, 3)


def test_the_nearest_density_is_taken_if_wished() -> None:
    assert set(structured(64, 64, density=0.1, nearest=True).fan_out) == {6}
    assert set(structured(64, 64, density=0.11, nearest=True).fan_out) == {7}
    assert set(structured(64, 64, density=0.0001, nearest=True).fan_out) == {1}
    assert set(structured(12, 8, fan_out=4, nearest=True).fan_out) == {3}
    assert structured(12, 8, fan_out=99, nearest=True) == dense(12, 8)


# 3x3 with two in each row and column, and so on: all matrices with these sums, counted by hand or
# known (90: Sloane's A001499).
@pytest.mark.parametrize(
    ("outputs", "inputs", "fan_out", "all_of_them"),
    [(3, 3, 2, 6), (4, 4, 2, 90), (6, 3, 2, 90), (3, 6, 1, 90)],
)
def test_every_pattern_is_equally_likely(
    outputs: int, inputs: int, fan_out: int, all_of_them: int
) -> None:
    each = 15
    drawn = Counter(
        structured(outputs, inputs, fan_out=fan_out, seed=seed)
        for seed in range(each * all_of_them)
    )
    assert len(drawn) == all_of_them
    freedom = all_of_them - 1
    chi_squared = sum((count - each) ** 2 / each for count in drawn.values())
    assert abs(chi_squared - freedom) < 4 * (2 * freedom) ** 0.5


def test_large_layers_keep_nothing_of_the_regular_start() -> None:
    taps = structured(512, 512, fan_out=32, seed=3).taps.astype(np.int64)
    expected = 32 * 31 / 511
    for side in (taps, taps.T):
        common = side @ side.T
        # Neighbours shared 31 or no neurons at the start; 511 pairs have a deviation of 0.06.
        assert np.diag(common, 1).mean() == pytest.approx(expected, abs=0.25)
        pairs = common[np.triu_indices(512, 1)]
        assert pairs.var() == pytest.approx(expected * (1 - 32 / 512), rel=0.1)


def test_the_same_seed_gives_the_same_pattern_everywhere() -> None:
    pattern = structured(64, 48, 3, fan_out=8, groups=2, seed=7)
    assert pattern.digest[:16] == "0202d56a92ff6e0a"
    assert structured(64, 48, 3, fan_out=8, groups=2, seed=8) != pattern


def test_groups_draw_for_themselves() -> None:
    first, second = structured(24, 36, 1, density=0.5, groups=2).taps.reshape(2, 12, 18)
    assert not np.array_equal(first, second)


def test_memory_grows_with_the_live_connections_only() -> None:
    def draw(size: int) -> Pattern:
        return structured(size, size, fan_out=8)

    # The dense layer of 4096 has 16 million connections, sixteen times those of 1024.
    assert peak_bytes(lambda: draw(4096)) < 5 * peak_bytes(lambda: draw(1024))
    assert peak_bytes(lambda: draw(4096)) < 120 * 4096 * 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"density": 0.3}, r"`density`=0.3 is impossible .* nearest: fan_out 2 .* or 4 "),
        ({"fan_out": 3}, r"must be a multiple of 2, at most 8; nearest: fan_out 2 .* or 4 "),
        ({"fan_out": 9}, r"`fan_out`=9 .*nearest: fan_out 8 \(density 1\)$"),
        ({"density": 0.01}, r"nearest: fan_out 2 \(density 0.25\)$"),
        ({"density": 0.5, "fan_out": 4}, "exactly one of the two"),
        ({}, "exactly one of the two"),
        ({"density": 0}, r"`density`=0 must lie in \(0, 1\]"),
        ({"fan_out": 0}, "`fan_out`=0"),
        ({"fan_out": 4, "groups": 5}, "feasible: 1, 2, 4"),
        ({"fan_out": 4, "seed": -1}, "`seed`=-1"),
        ({"fan_out": 10**400}, r"nearest: fan_out 8 \(density 1\)$"),
        ({"fan_out": 4, "nearest": "no"}, "`nearest`='no' must be true or false"),
        ({"fan_out": 4, "kernel": None}, "`kernel`=None must be"),
    ],
)
def test_bad_parameters_name_the_nearest_possible(arguments: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        structured(8, 12, **arguments)


@pytest.mark.parametrize("size", [3, 7, 97])
def test_the_density_that_is_named_is_possible(size: int) -> None:
    with pytest.raises(ArgumentError) as refused:
        structured(size, size, density=0.3)
    densities = re.findall(r"density (0.\d+)", str(refused.value))
    assert densities
    for density in densities:
        assert structured(size, size, density=float(density)).density == pytest.approx(
            float(density)
        )
