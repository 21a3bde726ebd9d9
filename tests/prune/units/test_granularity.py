"""Arguments that say what is cut, and where."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

import openwork as ow
from openwork import prune
from openwork.prune.units.granularity import example_for, units_of

Build = Callable[[str], nn.Module]


def _cut(model: nn.Module, **arguments: Any) -> ow.Plan:
    return prune.by_criterion(model, **{"ratio": 0.5, "progress": False, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"example": np.zeros((2, 3, 6, 6))}, "is a ndarray, but must be a tensor"),
        ({"example": ("images",)}, "is a tuple without a tensor"),
        ({"example": torch.zeros(0, 3, 6, 6)}, "holds no image"),
        ({"example": torch.zeros(2, 5, 6, 6)}, "does not go through Residual"),
        ({"layers": 5}, "`layers`=5 must be a glob"),
        ({"granularity": "block", "block": 4}, "`block`=4 must be two numbers"),
        ({"granularity": "block", "block": (4,)}, "must be two numbers"),
        ({"granularity": "block", "block": (4, 1, 1)}, "must be two numbers"),
    ],
)
def test_arguments_that_break_a_rule_are_refused(
    arguments: dict[str, Any], message: str, network: Build
) -> None:
    with pytest.raises(ow.ArgumentError, match=message):
        _cut(network("plain"), **arguments)


def test_the_example_takes_the_dtype_of_the_model(network: Build, example: torch.Tensor) -> None:
    model = network("plain").to(torch.bfloat16)
    converted = example_for(model, example)
    assert converted is not None
    assert converted[0].dtype == torch.bfloat16
    plan = _cut(model, granularity="feature_map", example=example, layers="a", progress=True)
    assert (plan.layers["a"].fan_in == 0).sum() == 4


def test_a_ratio_may_be_a_numpy_number(network: Build) -> None:
    model = network("plain")
    assert _cut(model, ratio=np.float32(0.5)) == _cut(model)


class _Tied(nn.Module):
    """The decoder's convolution uses the encoder's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.inner = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.inner(self.encoder(x).relu()).relu()
        return F.conv_transpose2d(hidden, self.encoder.weight)


def test_a_layer_whose_weight_other_code_reads_is_left_whole(example: torch.Tensor) -> None:
    units = units_of(_Tied(), "kernel", "*", (4, 1), example)
    assert units.chosen == ("inner",)
    assert units.notes == (
        "left whole: 'encoder': code outside the layer reads its weight, for example where an "
        "encoder's is used again",
    )
    with pytest.raises(ow.PlanError, match="selects only encoder, which stay dense"):
        units_of(_Tied(), "kernel", "encoder", (4, 1), example)


def test_layers_that_cannot_be_cut_are_noted_with_the_reason(example: torch.Tensor) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.ConvTranspose2d(4, 3, 1))
    (note,) = units_of(model, "kernel", "0", (4, 1), example).notes
    assert "'2': sparse layers exist for Conv1d, Conv2d and Linear" in note
    parametrizations.weight_norm(model[0])
    with pytest.raises(ow.PlanError, match="remove_parametrizations"):
        units_of(model, "kernel", None, (4, 1), example)


def test_what_is_left_by_default_is_noted(network: Build, example: torch.Tensor) -> None:
    model = network("plain")
    (note,) = units_of(model, "kernel", None, (4, 1), example).notes
    assert note == "left whole by default: stem, head; `layers` can name them"
    assert units_of(model, "kernel", "a", (4, 1), example).notes == ()


@pytest.mark.parametrize("granularity", ["kernel", "block", "intra_kernel", "feature_map"])
def test_dead_layers_are_skipped_unless_all_are_dead(
    granularity: str, network: Build, example: torch.Tensor
) -> None:
    dead = ow.patterns.Pattern(np.zeros((8, 8, 3, 3), dtype=bool))
    model = ow.sparsify_(network("plain"), ow.Plan({"a": dead}), init="keep")
    arguments = {"granularity": granularity, "example": example, "block": (2, 1)}
    plan = _cut(model, **arguments, layers=["a", "b"], progress=True)
    assert plan.layers["b"].live < 8 * 8 * 9
    with pytest.raises(ow.ArgumentError, match="nothing lives in"):
        _cut(model, **arguments, layers="a")
