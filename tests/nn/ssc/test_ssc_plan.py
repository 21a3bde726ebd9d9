"""`ssc_plan`: the asked sparsity over all convolutions, taps first, then channels."""

import itertools
import re

import pytest
from torch import nn

from openwork.errors import ArgumentError, PlanError
from openwork.models import build
from openwork.nn import Plan, ssc_plan
from openwork.nn.ssc.ssc_plan import _ladder
from openwork.patterns import ssc


def _model() -> nn.Sequential:
    """A first convolution, then twelve of three kinds, and a linear layer."""
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3)]
    for _ in range(4):
        layers += [nn.Conv2d(32, 32, 3, groups=32), nn.Conv2d(32, 32, 1), nn.Conv2d(32, 32, 3)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 4))


def _sparsity(model: nn.Module, plan: Plan) -> float:
    patterns = plan.resolve(model)
    weights = [p.live / p.density for p in patterns.values()]
    return 1 - sum(p.live for p in patterns.values()) / sum(weights)


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.6, 0.8, 0.9])
def test_the_sparsity_is_the_asked_one(sparsity: float) -> None:
    model = _model()
    plan = ssc_plan(model, sparsity)
    assert _sparsity(model, plan) == pytest.approx(sparsity, abs=0.005)
    assert Plan.from_yaml(plan.to_yaml()) == plan


def test_the_first_convolution_and_linear_layers_stay_dense() -> None:
    patterns = ssc_plan(_model(), 0.8).resolve(_model())
    assert list(patterns) == [str(index) for index in range(13)]
    assert patterns["0"].density == 1


def test_taps_go_before_channels_and_groups_rotate() -> None:
    model = nn.Sequential(nn.Conv2d(1, 36, 1), nn.Conv2d(36, 36, 3), nn.Conv2d(36, 36, 3))
    spared = 2 * 36 * 36 * 9 + 36
    for taps in (7, 1):
        wanted = 1 - (2 * 36 * 36 * taps + 36) / spared
        assert ssc_plan(model, wanted).resolve(model)["1"] == ssc(36, 36, 3, taps=taps)
    wanted = 1 - (2 * 36 * 12 + 36) / spared
    chosen = ssc_plan(model, wanted).resolve(model)
    assert chosen["1"] == chosen["2"] == ssc(36, 36, 3, groups=3, taps=1, order="rotating")


@pytest.mark.parametrize("sparsity", [-0.1, 1, "0.9", True])
def test_a_bad_sparsity_is_refused(sparsity: float) -> None:
    with pytest.raises(ArgumentError, match=r"must be a number in \[0, 1\)"):
        ssc_plan(_model(), sparsity)


def test_what_the_channels_do_not_allow_names_the_nearest() -> None:
    model = nn.Sequential(nn.Conv2d(3, 7, 3), nn.Conv2d(7, 5, 3))
    # One tap of nine in the second layer, nothing in the first.
    nearest = 1 - (189 + 35) / (189 + 315)
    with pytest.raises(ArgumentError, match=f"`sparsity`=0.9 .* nearest is {nearest:.4f}"):
        ssc_plan(model, 0.9)


@pytest.mark.parametrize("channels", [(3, 8, 12, 6), (1, 16, 24, 24), (3, 7, 14, 28)])
def test_what_is_refused_cannot_be_reached_and_the_nearest_can(channels: tuple[int, ...]) -> None:
    layers = [nn.Conv2d(a, b, 3) for a, b in itertools.pairwise(channels)]
    model = nn.Sequential(*layers)
    total = sum(layer.weight.numel() for layer in layers)
    live = [[rung.live for rung in _ladder(layer)] for layer in layers[1:]]
    own = layers[0].weight.numel()
    reachable = [1 - (own + sum(choice)) / total for choice in itertools.product(*live)]
    for wanted in (n / 50 for n in range(50)):
        nearest = min(abs(wanted - sparsity) for sparsity in reachable)
        if nearest <= 0.005:
            found = _sparsity(model, ssc_plan(model, wanted))
            assert found == pytest.approx(wanted, abs=0.005)
            continue
        with pytest.raises(ArgumentError, match="out of reach") as refused:
            ssc_plan(model, wanted)
        named = float(re.findall(r"nearest is ([\d.]+)", str(refused.value))[0])
        assert abs(wanted - named) == pytest.approx(nearest, abs=1e-4)
        ssc_plan(model, named)


@pytest.mark.parametrize("name", ["vgg-small", "basicnet", "mobilenet"])
def test_layers_stay_alike_where_their_steps_are_large(name: str) -> None:
    model = build(name)
    plan = ssc_plan(model, 0.8)
    first, *others = plan.resolve(model).values()
    assert first.density == 1
    assert _sparsity(model, plan) == pytest.approx(0.8, abs=0.005)
    assert all(0.1 < pattern.density < 0.35 for pattern in others)


def test_one_convolution_is_too_few() -> None:
    with pytest.raises(PlanError, match="has 1 convolutions"):
        ssc_plan(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 4)), 0.5)
