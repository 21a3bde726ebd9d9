"""Ways to run one layer, timed in turns."""

import numpy as np
import pytest

from openwork.kernels.dispatch import candidates_by_family
from openwork.kernels.problem import Geometry, Problem
from openwork.runtime.tournament import Tournament


@pytest.fixture
def problem() -> Problem:
    geometry = Geometry(2, 3, (5, 6), (3, 3), padding=(1, 1))
    weight = np.ones(54, np.float32)
    return Problem(geometry, 1, np.arange(54), weight)


@pytest.mark.parametrize("has_residual", [False, True])
def test_few_are_left_and_one_may_stay(problem: Problem, has_residual: bool) -> None:
    tournament = Tournament(problem, has_residual, 2, 1)
    assert (tournament.input.shape, tournament.output.shape) == ((2, 2, 5, 6), (2, 3, 5, 6))
    assert (tournament.residual is not None) == has_residual
    calls = 0

    def slow() -> None:
        nonlocal calls
        calls += 1
        sum(range(100_000))

    tournament.add("slow", slow)
    tournament.add_families(candidates_by_family(problem).values())
    assert len(tournament.times) > 5
    times = tournament.finish(always=("slow",))
    assert len(times) == 3
    assert max(times, key=lambda name: times[name]) == "slow"
    assert calls > 10
    assert np.isfinite(tournament.output).all()


def test_families_without_a_candidate_are_left_out(problem: Problem) -> None:
    tournament = Tournament(problem, False, 1, 1)
    tournament.add_families([[]])
    assert tournament.finish() == {}
