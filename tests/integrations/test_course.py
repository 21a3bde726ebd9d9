"""What both callbacks do to a network, without a trainer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import openwork as ow
from openwork.errors import ArgumentError, CheckpointError
from openwork.integrations import GradualPruning
from openwork.integrations.course import SparseCourse
from openwork.nn import Plan
from openwork.nn.layers import sparse_layers
from openwork.train import GrowthSchedule

Make = Callable[[], Any]
Images = tuple[torch.Tensor, torch.Tensor]


def _course(
    plan: Plan | None = None,
    *,
    growth: GrowthSchedule | None = None,
    pruning: GradualPruning | None = None,
    history: Path | None = None,
    compact_to: Path | None = None,
) -> SparseCourse:
    return SparseCourse(plan, "rescale", growth, pruning, history, compact_to)


def _density(model: nn.Module) -> float:
    return sparse_layers(model)["3"].pattern.density


def test_one_that_is_sparse_already_is_left_alone(make: Make, plan: Plan) -> None:
    model = ow.sparsify_(make(), Plan({"3": {"pattern": "random", "density": 0.5}}))
    _course(plan).begin_(model)
    assert list(sparse_layers(model)) == ["3"]


def test_a_state_with_other_patterns_is_taken_over(make: Make, plan: Plan) -> None:
    model, grown, dense = make(), make(), make()
    course = _course(plan)
    course.begin_(model)
    course.begin_(model)
    _course(plan).begin_(grown)
    ow.grow_(grown, 0.5)
    model.load_state_dict(grown.state_dict())
    assert _density(model) == 0.5
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(model.eval()(x), grown.eval()(x))
    model.load_state_dict(dense.state_dict())
    assert sparse_layers(model) == {}
    whole = nn.ModuleDict({"net": model})
    whole.load_state_dict({f"net.{key}": value for key, value in grown.state_dict().items()})
    assert _density(model) == 0.5


def test_a_state_that_does_not_fit_changes_nothing(make: Make, plan: Plan) -> None:
    model, other = make(), make()
    _course(plan).begin_(model)
    _course(plan).begin_(other)
    ow.grow_(other, 0.5)
    state = other.state_dict()
    del state["11.bias"]
    with pytest.raises(CheckpointError, match=r"11\.bias"):
        model.load_state_dict(state)
    assert _density(model) == 0.25


def test_a_step_is_begun_once(make: Make, plan: Plan, images: Images) -> None:
    model = make()
    course = _course(plan, growth=GrowthSchedule(start=0.25, every=1))
    course.begin_(model)
    for step in (0, 1, 1, 1):
        course.before_step_(model, None, step, [images])
    assert _density(model) == 0.5


def test_the_compacted_copy_is_written_and_the_model_stays(
    make: Make, images: Images, tmp_path: Path
) -> None:
    model = make()
    with torch.no_grad():
        model[1].weight[:3] = 0
        model[1].bias[:3] = 0
    course = _course(compact_to=tmp_path / "small.st", history=tmp_path / "sparsity.csv")
    course.begin_(model)
    course.after_epoch(model, 1)
    course.finish(model.train(), [images])
    assert (tmp_path / "sparsity.csv").exists()
    small: Any = ow.load(tmp_path / "small.st", make).eval()
    assert (small[1].num_features, model[1].num_features) == (5, 8)
    assert course.report is not None
    assert model.training
    torch.testing.assert_close(small(images[0]), model.eval()(images[0]), rtol=1e-4, atol=1e-5)


def test_growth_and_pruning_exclude_each_other() -> None:
    with pytest.raises(ArgumentError, match="`growth` and `pruning` exclude each other"):
        _course(growth=GrowthSchedule(0.1, 1), pruning=GradualPruning(0.5))
