"""`Plan.budget` in milliseconds, by a clock whose times are known."""

import pytest
import torch
from torch import nn

import openwork.engine  # so that its clock is registered before ours replaces it
from openwork.errors import ArgumentError, PlanError
from openwork.nn import Plan, SparseConv2d
from openwork.nn.timing import clock
from openwork.nn.timing.clock import CompiledTimes

EXAMPLE = torch.zeros(1, 3, 8, 8)
# Seconds per live weight of each layer.
RATES = {"0": 1e-6, "1": 4e-6, "2": 1e-6}


def _model() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 32, 3), nn.Conv2d(32, 32, 3), nn.Conv2d(32, 32, 3))


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> list[CompiledTimes]:
    """A clock that counts live weights, is 20 % wrong about the whole, and keeps what it said."""
    said: list[CompiledTimes] = []

    def count(model: nn.Module, example: object) -> CompiledTimes:
        layers = dict(model.named_children())
        times = {n: RATES[n] * layer.get_parameter("weight").numel() for n, layer in layers.items()}
        said.append(CompiledTimes(times, 1.2 * sum(times.values()) + 1e-3))
        return said[-1]

    assert openwork.engine.compile
    monkeypatch.setattr(clock, "_CLOCKS", {"openwork.engine": count})
    return said


@pytest.mark.parametrize("milliseconds", [8.0, 20.0, 40.0])
def test_the_time_is_met(milliseconds: float, counted: list[CompiledTimes]) -> None:
    Plan.budget(_model(), milliseconds=milliseconds, example=EXAMPLE)
    assert 1e3 * counted[-1].whole == pytest.approx(milliseconds, rel=0.05)


def test_weights_that_take_four_times_as_long_are_half_as_dense() -> None:
    model = _model()
    patterns = Plan.budget(model, milliseconds=12.0, example=EXAMPLE).resolve(model)
    assert patterns["1"].density == pytest.approx(0.5 * patterns["2"].density, rel=0.1)


def test_the_rule_says_what_a_weight_is_worth() -> None:
    model = _model()
    plan = Plan.budget(model, milliseconds=20.0, by="late_dense", keep=["0"], example=EXAMPLE)
    densities = [p.density for p in plan.resolve(model).values()]
    assert densities[0] == 1
    # Places 2/3 and 1, and a factor of 2 for the time.
    assert densities[1] / densities[2] == pytest.approx(2 / 3 / 2, rel=0.1)


def test_the_model_is_not_changed() -> None:
    model = _model()
    Plan.budget(model, milliseconds=20.0, example=EXAMPLE)
    assert not any(isinstance(layer, SparseConv2d) for layer in model)


def test_a_plan_file_may_ask_for_milliseconds(counted: list[CompiledTimes]) -> None:
    Plan.from_dict({"budget": {"milliseconds": 20, "keep": ["0"]}}, _model(), EXAMPLE)
    assert 1e3 * counted[-1].whole == pytest.approx(20, rel=0.05)
    with pytest.raises(PlanError, match="milliseconds"):
        Plan.from_dict({"budget": {"milliseconds": 20, "macs": 0.5}}, _model(), EXAMPLE)


def test_two_budgets_and_a_rule_that_estimates_time_are_refused() -> None:
    with pytest.raises(ArgumentError, match="are two budgets"):
        Plan.budget(_model(), 0.5, milliseconds=5.0, example=EXAMPLE)
    with pytest.raises(ArgumentError, match="'macs' estimates what"):
        Plan.budget(_model(), by="macs", milliseconds=5.0, example=EXAMPLE)


def test_what_holds_the_network_back_is_named() -> None:
    with pytest.raises(ArgumentError, match=r"cannot be reached.*hold it back are '1' \("):
        Plan.budget(_model(), milliseconds=0.5, example=EXAMPLE)
