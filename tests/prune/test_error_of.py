"""What `evaluate` may return."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import openwork as ow
from openwork.prune.error_of import error_of


def test_evaluate_gets_the_model_and_the_share() -> None:
    model = nn.Identity()
    calls: list[tuple[nn.Module, float]] = []

    def evaluate(network: nn.Module, share: float) -> float:
        calls.append((network, share))
        return 0.25

    assert error_of(model, evaluate, 0.5) == 0.25
    assert error_of(model, evaluate) == 0.25
    assert calls == [(model, 0.5), (model, 1.0)]


@pytest.mark.parametrize("value", [1, np.float32(1), torch.tensor(1.0), True])
def test_what_converts_to_a_number_is_an_error(value: Any) -> None:
    error = error_of(nn.Identity(), lambda model, share: value)
    assert type(error) is float
    assert error == 1.0


@pytest.mark.parametrize("value", [math.nan, -math.inf, None, "low", torch.zeros(2)])
def test_what_is_not_finite_is_refused_with_its_place(value: Any) -> None:
    with pytest.raises(
        ow.OpenworkError, match=r"for candidate 3 on 0.25 of the data, not a finite"
    ):
        error_of(nn.Identity(), lambda model, share: value, 0.25, "candidate 3")


def test_what_evaluate_raises_passes_through() -> None:
    def evaluate(model: nn.Module, share: float) -> float:
        raise LookupError("no data")

    with pytest.raises(LookupError, match="no data"):
        error_of(nn.Identity(), evaluate)
