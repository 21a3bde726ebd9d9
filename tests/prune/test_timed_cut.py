"""`by_criterion` in milliseconds, by a clock whose times are known."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import openwork.engine
from openwork import prune
from openwork.errors import ArgumentError
from openwork.nn import sparsify_
from openwork.nn.layers import dense_layers, sparse_layers
from openwork.nn.timing import clock
from openwork.nn.timing.clock import CompiledTimes

Build = Callable[[str], nn.Module]


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> list[CompiledTimes]:
    """A clock that counts live weights, a thousandth of a millisecond each, 10 % wrong."""
    said: list[CompiledTimes] = []

    def count(model: nn.Module, example: object) -> CompiledTimes:
        layers = {**dense_layers(model), **sparse_layers(model)}
        times = {name: 1e-6 * layer.weight.numel() for name, layer in layers.items()}
        said.append(CompiledTimes(times, 1.1 * sum(times.values())))
        return said[-1]

    assert openwork.engine.compile
    monkeypatch.setattr(clock, "_CLOCKS", {"openwork.engine": count})
    return said


@pytest.mark.parametrize(
    ("granularity", "milliseconds"),
    [("kernel", 2.6), ("kernel", 3.6), ("feature_map", 2.6), ("intra_kernel", 3.0)],
)
def test_the_time_is_met(
    network: Build,
    example: torch.Tensor,
    counted: list[CompiledTimes],
    granularity: str,
    milliseconds: float,
) -> None:
    model = network("plain")
    plan = prune.by_criterion(
        model,
        granularity=granularity,
        milliseconds=milliseconds,
        example=example,
        progress=False,
    )
    assert 1e3 * counted[-1].whole == pytest.approx(milliseconds, rel=0.05)
    live = sum(layer.weight.numel() for layer in dense_layers(model).values())
    cut = {**dense_layers(sparsify_(model, plan)), **sparse_layers(model)}
    assert sum(layer.weight.numel() for layer in cut.values()) < live
    assert 1.1e-3 * sum(layer.weight.numel() for layer in cut.values()) == pytest.approx(
        milliseconds, rel=0.05
    )


def test_time_goes_where_most_of_the_score_is_kept(example: torch.Tensor) -> None:
    model = nn.Sequential(nn.Conv2d(3, 16, 1), nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1))
    with torch.no_grad():
        model.get_parameter("1.weight").fill_(0.001)
        model.get_parameter("1.weight")[:4] = 1.0
        model.get_parameter("2.weight").fill_(1.0)
    plan = prune.by_criterion(
        model, milliseconds=0.38, layers=["1", "2"], example=example, progress=False
    )
    # A quarter of layer "1" has nearly all of its score, so the rest of the time is for "2".
    density = {name: pattern.density for name, pattern in plan.layers.items()}
    assert density["1"] == pytest.approx(0.25, abs=0.05)
    assert density["2"] > 0.75


def test_a_time_that_is_too_short_says_what_is_possible(
    network: Build, example: torch.Tensor
) -> None:
    with pytest.raises(ArgumentError, match=r"the fastest is .* hold it back are"):
        prune.by_criterion(network("plain"), milliseconds=0.1, example=example, progress=False)


def test_a_time_is_of_the_live_network_and_needs_an_example(network: Build) -> None:
    with pytest.raises(ArgumentError, match="needs `example`"):
        prune.by_criterion(network("plain"), milliseconds=1.0, progress=False)
    with pytest.raises(ArgumentError, match="`of`='all'"):
        prune.by_criterion(
            network("plain"), milliseconds=1.0, of="all", example=torch.zeros(1, 3, 6, 6)
        )
