"""`quantize`: int8 layers, zeros kept, the score checked."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from residual import residual
from torch import nn
from torch.nn.utils import prune

from openwork._copy import copied
from openwork.compact import compact
from openwork.compact.masks import make_masks_permanent_
from openwork.errors import ArgumentError, VerificationError
from openwork.nn import Plan, densify_, sparsify_
from openwork.quantize import quantize


@pytest.mark.parametrize("calibrate", ["minmax", "percentile", "mse"])
def test_outputs_are_close_and_the_original_is_unchanged(calibrate: str) -> None:
    model, images = residual()
    before = copy.deepcopy(model.state_dict())
    small, report = quantize(model, [images], calibrate=calibrate, tolerance=0.2)
    expected, found = model(images), small(images)
    assert (found - expected).norm() / expected.norm() < 0.05
    assert report.layers.column("weights") == ["int8"] * 3
    assert all(float(x) > 20 for x in report.layers.column("signal / error, dB"))
    assert all(torch.equal(before[name], each) for name, each in model.state_dict().items())
    buffers = dict(small.named_buffers())
    assert buffers["second.int8_weight"].dtype == torch.int8
    assert buffers["second.int8_weight"].abs().amax((1, 2, 3)).tolist() == [127] * 16


def _sparse(model: nn.Module) -> nn.Module:
    plan = {"second": {"pattern": "random", "density": 0.25}}
    return sparsify_(model, Plan(plan))


def _in_blocks(model: nn.Module) -> nn.Module:
    plan = {"second": {"pattern": "block", "density": 0.25, "b_out": 4}}
    return sparsify_(model, Plan(plan))


def _masked(model: nn.Module) -> nn.Module:
    for name in ("first", "second", "last"):
        prune.random_unstructured(model.get_submodule(name), "weight", 0.6)
    return model


def _compacted(model: nn.Module) -> nn.Module:
    nn.init.zeros_(model.get_parameter("norm.weight")[:5].data)
    nn.init.zeros_(model.get_parameter("norm.bias")[:5].data)
    return compact(_masked(model), torch.randn(2, 3, 8, 8))[0]


@pytest.mark.parametrize("change", [_sparse, _in_blocks, _masked, _compacted])
def test_zeros_stay_zero_in_each_layer(change: Callable[[nn.Module], nn.Module]) -> None:
    model, images = residual()
    model = change(model).eval()
    small, report = quantize(model, [images], tolerance=1)
    buffers = dict(small.named_buffers())
    dense = make_masks_permanent_(densify_(copied(model)))
    zeros = 0
    for name in ("first", "second", "last"):
        weight = dense.get_submodule(name).get_parameter("weight")
        narrow = buffers[f"{name}.int8_weight"]
        assert narrow[weight == 0].eq(0).all()
        # What is alive rounds to zero only below half a step of its channel; channels that the norm
        # multiplies by zero are dead.
        largest = weight.abs().flatten(1).amax(1).reshape(-1, *[1] * (weight.dim() - 1))
        dead = narrow.flatten(1).eq(0).all(1).reshape(largest.shape)
        assert ((narrow == 0) & ~dead & (weight.abs() > largest / 253)).sum() == 0
        assert int(dead.sum()) <= 5
        zeros += int((weight == 0).sum())
    assert zeros > 1000
    assert float(report.layers.column("density")[1]) < 0.5


def test_refuses_a_worse_score() -> None:
    model, images = residual()
    with pytest.raises(VerificationError, match=r"`tolerance`=0\.1"):
        quantize(model, [images], evaluate=lambda m: float(m is model), tolerance=0.1)


class _Above(nn.Module):
    """A result of numbers, and one of truth values."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.layer(x)
        return y.relu(), y > 0


def test_truth_values_may_be_among_the_results() -> None:
    model, images = _Above(), torch.randn(4, 3, 8, 8)
    small, _ = quantize(model, [images], tolerance=0.2)
    wanted, found = model(images), small(images)
    assert found[1].dtype == torch.bool
    assert (wanted[1] == found[1]).float().mean() > 0.9


def test_what_is_no_list_of_batches_and_no_score_is_said() -> None:
    model, images = residual()
    with pytest.raises(ArgumentError, match=r"`batches` is one tensor .* into a list: \[images\]"):
        quantize(model, images)
    with pytest.raises(ArgumentError, match="`evaluate` gave 'good', but must give a number"):
        quantize(model, [images], evaluate=lambda _: "good")  # type: ignore[arg-type, return-value]
    with pytest.raises(ArgumentError, match="`evaluate` gave nan"):
        quantize(model, [images], evaluate=lambda _: float("nan"))
    with pytest.raises(ArgumentError, match="`evaluate`=5 must be a function"):
        quantize(model, [images], evaluate=5)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="`correct_bias`='no'"):
        quantize(model, [images], correct_bias="no")  # type: ignore[arg-type]


def test_numbers_that_overflow_within_the_network_are_named() -> None:
    class Overflows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(torch.exp(self.first(x).square() * 1e6))

    with pytest.raises(ArgumentError, match=r"compute NaN or infinite numbers \(exp\)"):
        quantize(Overflows().eval(), [torch.randn(2, 3, 8, 8)])


@pytest.mark.parametrize(
    ("batches", "reason"),
    [
        (None, "is a NoneType, but must hold batches"),
        (5, "is a int, but must hold batches"),
        ([torch.zeros(2, 3, 8, 8, dtype=torch.uint8)], "uint8, which the network does not take"),
        ([torch.full((2, 3, 8, 8), float("nan"))], "with NaN or infinite numbers"),
        ([torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 8, 8)], r"\(2, 1, 8, 8\) float32, which"),
    ],
)
def test_batches_that_the_network_does_not_take_are_named(batches: Any, reason: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))
    with pytest.raises(ArgumentError, match=f"`batches` .*{reason}"):
        quantize(model, batches)
