"""The peak is the best of many products."""

import time

import pytest

from openwork.report.rate import best_rate


def test_the_shortest_product_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.5, 1.0, 1.25, 2.0, 2.75])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert best_rate(size=4, turns=3) == 4**3 / 0.25


def test_it_is_a_rate() -> None:
    assert 1e3 < best_rate(size=32, turns=3) < 1e15
