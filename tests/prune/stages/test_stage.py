"""What a stage may be, and what `evaluate` must return for it."""

import math
from typing import Any

import numpy as np
import pytest
from toy_search import toy_network

import openwork as ow
from openwork import prune
from openwork.prune import Stage


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"granularity": "kernle"}, "`granularity`='kernle' must be one of"),
        ({"ratio": 1}, r"`ratio`=1 must be a number in \[0, 1\)"),
        ({"ratio": math.nan}, "`ratio`=nan"),
        ({"ratio": "0.5"}, "`ratio`='0.5'"),
        ({"of": "dead"}, "`of`='dead' must be one of"),
    ],
)
def test_a_stage_with_a_bad_value_is_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ow.ArgumentError, match=text):
        Stage(**{"granularity": "kernel", "ratio": 0.5, **change})


def test_a_ratio_is_a_plain_number() -> None:
    assert type(Stage("kernel", np.float32(0.5)).ratio) is float  # type: ignore[arg-type]


@pytest.mark.parametrize("outcome", [math.nan, math.inf, None, "much"])
@pytest.mark.parametrize("good", [0, 1, 2])
def test_an_error_that_is_not_finite_is_refused(outcome: Any, good: int) -> None:
    outcomes = [0.1] * good + [outcome]

    with pytest.raises(ow.OpenworkError, match=f"`evaluate` returned {outcome!r} for the"):
        prune.largest_ratio(
            toy_network(),
            lambda model, stage, index: prune.by_criterion(model, ratio=0.5, progress=False),
            lambda model, index: None,
            lambda model, share: outcomes.pop(0),
            progress=False,
        )
