"""Ways to run one layer, timed in turns."""

from typing import Any

import numpy as np
import pytest

from openwork.kernels.candidate import Candidate
from openwork.kernels.dispatch import candidates_by_family
from openwork.kernels.problem import Geometry, Problem
from openwork.runtime import tournament
from openwork.runtime.tournament import Tournament


@pytest.fixture
def problem() -> Problem:
    geometry = Geometry(2, 3, (5, 6), (3, 3), padding=(1, 1))
    weight = np.ones(54, np.float32)
    return Problem(geometry, 1, np.arange(54), weight)


@pytest.mark.parametrize("has_residual", [False, True])
def test_few_are_left_and_one_may_stay(problem: Problem, has_residual: bool) -> None:
    contest = Tournament(problem, has_residual, 2, 1)
    assert (contest.input.shape, contest.output.shape) == ((2, 2, 5, 6), (2, 3, 5, 6))
    assert (contest.residual is not None) == has_residual
    calls = 0

    def slow() -> None:
        nonlocal calls
        calls += 1
        sum(range(100_000))

    contest.add("slow", slow)
    contest.add_families(candidates_by_family(problem).values())
    assert len(contest.times) > 5
    times = contest.finish(always=("slow",))
    assert len(times) == 3
    assert max(times, key=lambda name: times[name]) == "slow"
    assert calls > 10
    assert np.isfinite(contest.output).all()


def test_families_without_a_candidate_are_left_out(problem: Problem) -> None:
    contest = Tournament(problem, False, 1, 1)
    contest.add_families([[]])
    assert contest.finish() == {}


def test_the_last_round_is_repeated_while_times_spread(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every second call takes three seconds instead of one, until all take one.
    taken = iter([1.0, 3.0] * 20 + [1.0] * 200)
    monkeypatch.setattr(tournament, "_seconds", lambda call: call() or next(taken))
    one = Tournament(problem, False, 1, 1)
    one.add("only", lambda: None)
    assert one.finish() == {"only": 1.0}
    assert one.spread == 0
    monkeypatch.setattr(tournament, "_seconds", lambda call: next(busy))
    busy = iter([1.0] + [3.0] * 200)
    other = Tournament(problem, False, 1, 1)
    other.add("only", lambda: None)
    assert other.finish() == {"only": 1.0}
    # It ends on a machine that stays busy too.
    assert other.spread == 2
    assert 30 < 200 - len(list(busy)) < 60


def test_tiles_like_the_best_are_tried_and_others_are_not(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    class Layer:
        """A layer whose time says how far its tile is from the best, of 17 vectors."""

        def __init__(self, vectors: int) -> None:
            self.vectors = vectors

        def workspace(self, batch: int, threads: int) -> int:
            return 1

        def run(self, *arguments: object) -> None:
            tried.append(self.vectors)

    monkeypatch.setattr(
        tournament, "_seconds", lambda call: call() or 1 + abs(tried[-1] - 17) / 1000
    )

    def build(vectors: int) -> Any:
        return lambda problem: Layer(vectors)

    family = [Candidate(f"f32-conv-spmm-v{v}-isa", build(v)) for v in range(1, 65)]
    contest = Tournament(problem, False, 1, 1)
    contest.add_families([family])
    assert len(set(tried)) < 30
    times = contest.finish()
    assert min(times, key=lambda name: times[name]) == "f32-conv-spmm-v17-isa"
