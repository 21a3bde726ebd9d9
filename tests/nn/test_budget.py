"""`Plan.budget`: the asked density, no dead channel, the rule's proportions, and nested plans."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from openwork.errors import ArgumentError, PlanError
from openwork.models import build
from openwork.nn import Plan, count_macs, sparsify_
from openwork.patterns import Pattern

RULES = ["uniform", "erk", "late_dense", "macs"]


def _model() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 40, 3, padding=1),
        nn.MaxPool2d(2),
        nn.Conv2d(40, 64, 3, padding=1),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 96, (1, 3), groups=2),
        nn.Flatten(),
        nn.Linear(96 * 8, 150),
        nn.Linear(150, 10),
    )


EXAMPLE = torch.zeros(2, 3, 16, 16)


def _share(model: nn.Module, patterns: dict[str, Pattern], by: str) -> float:
    """Density of the weights, or of the multiply-adds, recounted from the patterns."""
    uses = dict.fromkeys(patterns, 1.0)
    if by == "macs":
        macs = count_macs(model, EXAMPLE)
        uses = {name: macs[name] / np.prod(p.shape) for name, p in patterns.items()}
    live = sum(uses[name] * p.live for name, p in patterns.items())
    return live / sum(uses[name] * np.prod(p.shape) for name, p in patterns.items())


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(RULES),
    st.floats(0.1, 1),
    st.sampled_from(["random", {"pattern": "block", "b_out": 2}]),
    st.integers(0, 2**30),
)
def test_the_asked_density_is_met_and_no_channel_is_dead(
    by: str, density: float, pattern: Any, seed: int
) -> None:
    model = _model()
    plan = Plan.budget(model, density, by, example=EXAMPLE, pattern=pattern, seed=seed)
    patterns = plan.resolve(model)
    assert set(patterns) == {"0", "2", "4", "6", "7"}
    assert _share(model, patterns, by) == pytest.approx(density, rel=0.01)
    for drawn in patterns.values():
        assert drawn.fan_in.min() >= 1
        assert drawn.fan_out.min() >= 1


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(RULES),
    st.floats(0.2, 1),
    st.floats(0.2, 1),
    st.sampled_from(["random", {"pattern": "random", "fan": "fixed"}]),
)
def test_a_smaller_budget_lies_inside_a_larger_one(
    by: str, one: float, two: float, pattern: Any
) -> None:
    # Wide enough for a fixed fan-in, where a step is one connection of every filter.
    model = build("mnist_3conv", in_channels=3, image_size=16, depth_multiplier=8)
    sparser, denser = (
        Plan.budget(model, d, by, example=EXAMPLE, pattern=pattern, seed=5).resolve(model)
        for d in (min(one, two), max(one, two))
    )
    for name in sparser:
        assert np.isin(sparser[name].positions, denser[name].positions).all()


def test_uniform_is_the_same_wherever_no_channel_would_die() -> None:
    model = build("vgg16-cifar")
    patterns = Plan.budget(model, 0.2).resolve(model)
    densities = [p.density for name, p in patterns.items() if name != "features.0"]
    assert densities == pytest.approx([0.2] * 13, rel=1e-3)
    assert patterns["features.0"].density == pytest.approx(1 / 3)


def test_a_fixed_fan_in_is_kept_where_the_pattern_asks_for_it() -> None:
    model = build("vgg16-cifar")
    plan = Plan.budget(model, 0.1, "erk", pattern={"pattern": "random", "fan": "fixed"})
    patterns = plan.resolve(model)
    assert _share(model, patterns, "erk") == pytest.approx(0.1, rel=0.01)
    assert all(len(set(p.fan_in.tolist())) == 1 for p in patterns.values())


def test_erk_follows_its_formula() -> None:
    model = build("vgg16-cifar")
    patterns = Plan.budget(model, 0.1, "erk").resolve(model)
    wanted = {name: sum(p.shape) / np.prod(p.shape) for name, p in patterns.items()}
    ratios = [p.density / wanted[name] for name, p in patterns.items() if p.density < 1]
    assert len(ratios) > 8
    assert max(ratios) / min(ratios) < 1.01
    # The last layer is so small that its share would be above 1.
    assert patterns["classifier.2"].density == 1


def test_late_dense_rises_towards_the_output() -> None:
    model = nn.Sequential(*(nn.Linear(200, 200) for _ in range(4)))
    patterns = Plan.budget(model, 0.25, "late_dense").resolve(model)
    densities = [p.density for p in patterns.values()]
    assert densities == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.01)


def test_macs_makes_layers_with_large_maps_sparser() -> None:
    model = _model()
    patterns = Plan.budget(model, 0.2, "macs", example=EXAMPLE).resolve(model)
    # 64 and 8 positions: densities differ by the root of 8, and linear layers are used once.
    assert patterns["4"].density / patterns["2"].density == pytest.approx(8**0.5, rel=0.1)
    assert patterns["6"].density > patterns["4"].density


def test_what_is_kept_is_dense_and_counts() -> None:
    model = _model()
    plan = Plan.budget(model, 0.3, keep=["0", "linear:7"])
    patterns = plan.resolve(model)
    assert patterns["0"].density == patterns["7"].density == 1
    assert _share(model, patterns, "uniform") == pytest.approx(0.3, rel=0.01)
    sparsify_(model, plan)
    assert [type(model[n]).__name__ for n in (0, 2, 7)] == ["Conv2d", "SparseConv2d", "Linear"]


def test_blocks_are_budgeted_by_the_block() -> None:
    model = nn.Sequential(nn.Linear(64, 128), nn.Linear(128, 64))
    plan = Plan.budget(model, 0.25, "erk", pattern={"pattern": "block", "b_out": 8, "b_in": 2})
    patterns = plan.resolve(model)
    assert _share(model, patterns, "erk") == pytest.approx(0.25, rel=0.01)
    refused = r"layer '0': `b_out`=48 must divide the 128 filters.* or keep .* `keep`"
    with pytest.raises(PlanError, match=refused):
        Plan.budget(model, 0.25, pattern={"pattern": "block", "b_out": 48})


@pytest.mark.parametrize("fan", ["uniform", "fixed"])
def test_blocks_need_not_divide_a_layer_that_is_kept_dense(fan: str) -> None:
    model = nn.Sequential(nn.Linear(64, 128), nn.Linear(128, 64), nn.Linear(64, 10))
    pattern = {"pattern": "block", "b_out": 4, "fan": fan}
    patterns = Plan.budget(model, 0.5, pattern=pattern, keep=["2"]).resolve(model)
    assert patterns["2"].density == 1
    assert patterns["0"].density < 0.6
    assert _share(model, patterns, "uniform") == pytest.approx(0.5, rel=0.01)


def test_a_budget_is_an_ordinary_plan(capsys: pytest.CaptureFixture[str]) -> None:
    model = _model()
    plan = Plan.budget(model, 0.3, "erk", seed=8)
    assert Plan.from_yaml(plan.to_yaml()).resolve(model) == plan.resolve(model)
    table = plan.preview(model)
    assert table.total is not None
    assert table.total[2] == pytest.approx(0.3, rel=0.01)
    assert "150,036" in capsys.readouterr().out


def test_what_cannot_be_met_is_refused_with_what_can() -> None:
    model = _model()
    # Least: 40 * 9, 64 * 9, 96 * 3, 768 and 150 of 150,036 weights.
    with pytest.raises(
        ArgumentError, match=r"`density`=0\.001 of the weights.* range 0\.01428 to 1"
    ):
        Plan.budget(model, 0.001)
    with pytest.raises(ArgumentError, match="2 layers are kept dense"):
        Plan.budget(model, 0.1, keep=["2", "6"])
    coarse = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(ArgumentError, match=r"the nearest is 0\.5556, and the range 0\.3333 to 1"):
        Plan.budget(coarse, 0.6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"density": 0}, "`density`=0 must lie"),
        ({"by": "size"}, "`by`='size' must be one of 'uniform', 'erk', 'late_dense', 'macs'"),
        ({"by": "macs"}, "`by`='macs' needs `example`"),
        ({"keep": "0"}, r"`keep`='0' must be a list of layer globs, such as \['0'\]"),
        ({"keep": ["9"]}, "`keep` has '9', which matches no layer; the layers are '0', '2'"),
        ({"keep": ["pool:*"]}, "may have only conv or linear before its colon"),
        ({"pattern": "dense"}, "`pattern`='dense' must be of the kind 'random' or 'block'"),
        ({"pattern": {"pattern": "structured", "fan_out": 2}}, "must be of the kind 'random' or"),
        ({"pattern": {"pattern": "random", "density": 0.1}}, "must not set the density"),
        ({"pattern": "rndom"}, "`pattern`='rndom': unknown pattern 'rndom'; did you mean 'random'"),
        ({"seed": -1}, "`seed`=-1"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Plan.budget(_model(), **{"density": 0.3, **arguments})


def test_a_model_without_layers_and_a_layer_without_input_are_refused() -> None:
    with pytest.raises(ArgumentError, match="`model` has no layer that can be made sparse"):
        Plan.budget(nn.Sequential(nn.ReLU()))

    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(9, 9), nn.Linear(9, 9)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    with pytest.raises(ArgumentError, match="`example` does not reach layer 'unused'"):
        Plan.budget(Idle(), 0.5, "macs", example=torch.zeros(1, 9))


@pytest.mark.parametrize(
    ("text", "by"),
    [
        ("{parameters: 0.3, by: erk}", "erk"),
        ("{macs: 0.3}", "macs"),
        ("{parameters: 0.3}", "uniform"),
    ],
)
def test_a_plan_file_may_hold_a_budget(text: str, by: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3))
    example = torch.zeros(1, 3, 8, 8)
    plan = Plan.from_yaml(f"seed: 2\nbudget: {text}\n", model, example)
    assert plan == Plan.budget(model, 0.3, by, example=example, seed=2)
    with pytest.raises(PlanError, match="a `budget` needs `model`"):
        Plan.from_yaml(f"budget: {text}\n")


@pytest.mark.parametrize(
    "text", ["0.1", "{density: 0.1}", "{macs: 0.1, parameters: 0.1}", "{macs: 2}"]
)
def test_other_budgets_are_refused(text: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 32, 3))
    with pytest.raises(PlanError, match=r"parameters|density"):
        Plan.from_yaml(f"seed: 1\nbudget: {text}\n", model, torch.zeros(1, 3, 8, 8))
