"""Which share of the ratio is cut by when."""

import itertools
from typing import Any

import pytest

import openwork as ow
from openwork import prune
from openwork.prune import Stage


def test_one_shot_cuts_everything_at_once() -> None:
    assert [prune.one_shot(p) for p in (0, 0.5, 1)] == [1, 1, 1]


def test_iterative_rises_in_equal_steps() -> None:
    assert [prune.iterative(p, 4) for p in (0, 0.24, 0.25, 0.6, 1)] == [0, 0, 0.25, 0.5, 1]
    assert [prune.iterative(n / 10, 10) for n in range(11)] == [n / 10 for n in range(11)]


def test_gradual_is_cubic() -> None:
    assert [prune.gradual(p) for p in (0, 0.5, 1)] == [0, 0.875, 1]
    steps = [prune.gradual(p / 10) for p in range(11)]
    gains = [b - a for a, b in itertools.pairwise(steps)]
    assert gains == sorted(gains, reverse=True)


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan"), "half"])
def test_progress_outside_0_to_1_is_refused(progress: Any) -> None:
    for schedule in (prune.one_shot, prune.iterative, prune.gradual):
        with pytest.raises(ow.ArgumentError, match="`progress`="):
            schedule(progress)


def test_stages_reach_the_ratio_of_the_dense_layers() -> None:
    stages = prune.in_steps("kernel", 0.8, steps=2)
    assert stages == (Stage("kernel", 0.8 * 0.875, "all"), Stage("kernel", 0.8, "all"))
    assert prune.in_steps("block", 0.8, schedule="one_shot") == (Stage("block", 0.8, "all"),)
    ratios = [stage.ratio for stage in prune.in_steps("kernel", 0.5, schedule="iterative")]
    assert ratios == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize("ratio", [1.5, float("nan"), "0.5"])
def test_a_ratio_that_is_not_a_share_is_refused(ratio: Any) -> None:
    with pytest.raises(ow.ArgumentError, match=f"`ratio`={ratio!r} must be"):
        prune.in_steps("kernel", ratio)


def test_unknown_schedules_are_refused() -> None:
    with pytest.raises(ow.ArgumentError, match="`schedule`='sudden'"):
        prune.in_steps("kernel", 0.5, schedule="sudden")
    with pytest.raises(ow.ArgumentError, match="`steps`=0"):
        prune.in_steps("kernel", 0.5, steps=0)
