"""The greedy spread, what it costs, and the correction by whole networks."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from openwork.errors import ArgumentError, OpenworkError
from openwork.nn.timing.clock import CompiledTimes
from openwork.nn.timing.in_time import LayerCosts, check_milliseconds, in_time, spend


class Shop:
    """Items whose levels have the given worth and seconds."""

    def __init__(self, worth: list[list[float]], cost: list[list[float]]) -> None:
        self.worth = [np.array(row) for row in worth]
        self.cost = [np.array(row) for row in cost]

    def seconds(self, levels: Sequence[int], item: int) -> np.ndarray:
        return self.cost[item]

    def touched(self, item: int) -> Sequence[int]:
        return (item,)


def test_the_best_worth_per_second_comes_first() -> None:
    shop = Shop([[0, 3, 4], [0, 2, 4]], [[0, 1, 2], [0, 1, 2]])
    assert [spend(shop, seconds) for seconds in (0, 1, 3, 4)] == [[0, 0], [1, 0], [1, 2], [2, 2]]


def test_a_step_may_jump_over_a_level_that_is_worth_little() -> None:
    assert spend(Shop([[0, 1, 9], [0, 2, 2.1]], [[0, 1, 2], [0, 1, 2]]), 2) == [2, 0]


def test_levels_that_are_faster_are_taken_without_any_time_left() -> None:
    # Level 2 is faster than level 0; level 3 is slower than level 2.
    assert spend(Shop([[0, 1, 2, 3]], [[5, 6, 3, 4]]), -np.inf) == [2]
    # Level 3 takes the time that level 2 has saved.
    assert spend(Shop([[0, 1, 2, 3]], [[5, 6, 3, 4]]), 0) == [3]


def test_costs_lie_between_what_was_measured() -> None:
    costs = LayerCosts(
        [
            ({"a": 1.0}, CompiledTimes({"a": 4.0, "other": 1.0}, 6.0)),
            ({"a": 0.5}, CompiledTimes({"a": 1.0, "other": 1.0}, 3.0)),
        ]
    )
    assert costs.seconds("a", np.array([0.25, 0.75, 1.0])).tolist() == [1.0, 2.5, 4.0]
    assert costs.whole({"a": 0.75}) == pytest.approx(2.5 + 1 + 1)


SHOP = Shop([list(map(float, range(101)))], [[1e-4 * level for level in range(101)]])


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.7])
def test_a_wrong_expectation_is_corrected_by_what_is_measured(factor: float) -> None:
    asked: list[int] = []

    def measure(levels: Sequence[int]) -> CompiledTimes:
        asked.append(levels[0])
        return CompiledTimes({}, factor * (1e-3 + 1e-4 * levels[0]) + 2e-4)

    levels, taken = in_time(4.0, SHOP, 1e-3, [], measure)
    assert taken == pytest.approx(4.0, rel=0.0501)
    assert taken == pytest.approx(1e3 * (factor * (1e-3 + 1e-4 * levels[0]) + 2e-4))
    assert len(asked) <= 5


def test_a_time_that_cannot_be_reached_names_the_fastest_and_what_holds_it_back() -> None:
    times = CompiledTimes({"a": 2e-3, "b": 1e-3, "fixed": 1e-3}, 5e-3)
    with pytest.raises(ArgumentError, match=r"fastest is 5 ms.*'a' \(2 ms\), 'b' \(1 ms\); 2 ms"):
        in_time(1.0, SHOP, 1e-3, ["a", "b"], lambda levels: times)


def test_a_time_that_the_dense_network_does_not_take_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"dense \(3 ms\)"):
        in_time(100.0, SHOP, 1e-3, [], lambda levels: CompiledTimes({}, 3e-3))


def test_times_that_jump_are_an_error_and_all_are_named() -> None:
    calls = iter(range(100))

    def measure(levels: Sequence[int]) -> CompiledTimes:
        return CompiledTimes({}, 2e-3 if next(calls) % 2 else 8e-3)

    with pytest.raises(OpenworkError, match=r"any of 8 plans, which took 8, 2, 8"):
        in_time(4.0, SHOP, 1e-3, [], measure)


@pytest.mark.parametrize("value", [0, -1.0, True, "5", float("nan")])
def test_a_time_is_a_positive_number(value: object) -> None:
    with pytest.raises(ArgumentError, match="positive number"):
        check_milliseconds(value, torch.zeros(1))


def test_a_time_needs_an_example() -> None:
    with pytest.raises(ArgumentError, match="`milliseconds` needs `example`"):
        check_milliseconds(5, None)
