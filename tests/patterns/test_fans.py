"""Equal fans: which are possible, which is nearest, and what a refusal says."""

import pytest

from openwork.errors import ArgumentError
from openwork.patterns.fans import check_one_of, nearest_two, regular_fan_out


@pytest.mark.parametrize(
    ("outputs", "inputs", "density", "fan_out", "expected"),
    [
        (12, 8, None, 3, 3),
        (12, 8, 0.25, None, 3),
        (12, 8, 1.0, None, 12),
        (100, 100, 0.07, None, 7),  # 0.07 * 100 lies above 7 in floats
    ],
)
def test_a_possible_fan_out_is_taken_as_it_is(
    outputs: int, inputs: int, density: float | None, fan_out: int | None, expected: int
) -> None:
    assert regular_fan_out(outputs, inputs, density, fan_out, nearest=False) == expected


def test_the_nearest_is_taken_where_it_is_asked_for() -> None:
    # 12 outputs and 8 inputs: multiples of 3.
    assert regular_fan_out(12, 8, None, 4, nearest=True) == 3
    assert regular_fan_out(12, 8, None, 5, nearest=True) == 6
    assert regular_fan_out(12, 8, 0.375, None, nearest=True) == 3  # 4.5: the sparser of the two
    assert regular_fan_out(12, 8, None, 10**30, nearest=True) == 12


def test_an_impossible_one_is_refused_with_its_neighbours() -> None:
    with pytest.raises(ArgumentError, match=r"multiple of 3, at most 12; nearest: fan_out 3 .* 6"):
        regular_fan_out(12, 8, None, 4, nearest=False)


@pytest.mark.parametrize(("density", "fan_out"), [(None, None), (0.5, 2)])
def test_exactly_one_of_density_and_fan_out(density: float | None, fan_out: int | None) -> None:
    with pytest.raises(ArgumentError, match="exactly one of the two"):
        check_one_of(density, fan_out)


def test_the_numbers_on_both_sides() -> None:
    assert nearest_two(5, [2, 8, 4, 6]) == "4 or 6"
    assert nearest_two(1, [2, 4]) == "2"
    assert nearest_two(9, [2, 4]) == "4"
