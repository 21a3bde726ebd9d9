"""Learning-rate schedules: exact values."""

import math

import pytest

from openwork.train.schedules import SCHEDULES, lr_factor


def _factor(schedule: str, progress: float, warmup: float = 0.0) -> float:
    return lr_factor(schedule, progress, warmup=warmup, milestones=(0.5, 0.75), drop=0.1)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        ("constant", {0.0: 1.0, 0.3: 1.0, 1.0: 1.0}),
        ("linear", {0.0: 1.0, 0.25: 0.75, 0.5: 0.5, 1.0: 0.0}),
        ("cosine", {0.0: 1.0, 0.5: 0.5, 1.0: 0.0}),
        ("step", {0.0: 1.0, 0.49: 1.0, 0.5: 0.1, 0.74: 0.1, 0.75: 0.1**2, 1.0: 0.1**2}),
    ],
)
def test_values(schedule: str, values: dict[float, float]) -> None:
    assert SCHEDULES.keys() == {"constant", "linear", "cosine", "step"}
    for progress, value in values.items():
        # Rounding of one cosine and one product.
        assert _factor(schedule, progress) == pytest.approx(value, rel=1e-15, abs=1e-15)


def test_the_cosine_between_its_ends() -> None:
    assert _factor("cosine", 1 / 3) == pytest.approx(0.75, rel=1e-15)
    assert _factor("cosine", 0.25) == 0.5 * (1 + math.cos(math.pi / 4))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warm_up_rises_linearly_and_the_schedule_takes_the_rest(schedule: str) -> None:
    assert [_factor(schedule, at, warmup=0.2) for at in (0.0, 0.05, 0.1)] == [0.0, 0.25, 0.5]
    assert _factor(schedule, 0.2, warmup=0.2) == 1.0
    for share in (0.0, 0.25, 0.6, 1.0):
        # 0.2 + 0.8 * share is rounded, and so is what undoes it.
        expected = pytest.approx(_factor(schedule, share), abs=1e-12)
        assert _factor(schedule, 0.2 + 0.8 * share, warmup=0.2) == expected


def test_without_milestones_the_rate_never_drops() -> None:
    assert lr_factor("step", 1.0, warmup=0.0, milestones=(), drop=0.1) == 1.0
