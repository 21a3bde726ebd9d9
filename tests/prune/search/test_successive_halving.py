"""How many candidates are scored on how much of the data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openwork.prune.search.successive_halving import halving_rounds


def test_a_hundred_candidates_cost_a_fifth() -> None:
    assert halving_rounds(100, halving=True) == [(1 / 16, 100), (1 / 4, 25), (1.0, 7)]
    work = sum(share * count for share, count in halving_rounds(100, halving=True))
    assert work == pytest.approx(19.5)
    assert halving_rounds(100, halving=False) == [(1.0, 100)]


@given(st.integers(1, 1000))
def test_the_last_round_has_candidates_and_sees_all_data(candidates: int) -> None:
    rounds = halving_rounds(candidates, halving=True)
    counts = [count for _, count in rounds]
    assert counts[0] == candidates
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] >= 1
    assert rounds[-1][0] == 1
    assert all(type(share) is float for share, _ in rounds)


def test_rounds_with_fewer_images_than_candidates_are_left_out() -> None:
    assert halving_rounds(100, halving=True, images=1000) == [(1 / 4, 100), (1.0, 25)]
    assert halving_rounds(8, halving=True, images=16) == [(1.0, 8)]
    assert halving_rounds(100, halving=True, images=1600) == halving_rounds(100, halving=True)
