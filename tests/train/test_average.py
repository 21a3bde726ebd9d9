"""The average of the weights: its rule, and that the average is what a run tests and keeps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from openwork.data import DataSet
from openwork.errors import CheckpointError
from openwork.io import container, load
from openwork.train import GrowthSchedule, Recipe, evaluate, fit
from openwork.train.average import WeightAverage
from openwork.train.run_folder import STATE

Make = Callable[..., Any]


def test_weights_follow_by_the_rule() -> None:
    model: Any = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    average: Any = WeightAverage(model, 0.5)
    expected, running, counted = 0.0, 0.0, 0
    for step, value in enumerate([3.0, 5.0, -2.0] + [1.0] * 20):
        with torch.no_grad():
            model[0].weight.fill_(value)
            model[1].running_mean.fill_(2 * value)
            model[1].num_batches_tracked.add_(1)
        average.update(model, step)
        decay = min(0.5, step / (10 + step))
        expected = decay * expected + (1 - decay) * value
        running, counted = 2 * expected, step + 1
        assert average.model[0].weight.item() == pytest.approx(expected, rel=1e-5)
    assert average.model[1].running_mean.item() == pytest.approx(running, rel=1e-5)
    assert average.model[1].num_batches_tracked.item() == counted
    assert not average.model.training


def test_it_grows_to_the_same_patterns(make: Make) -> None:
    model = make()
    average: Any = WeightAverage(model, 0.9)
    growth = GrowthSchedule(start=0.5, every=3)
    for step in range(4):
        average.grow(growth, step)
        growth.step(model, (), step)
    assert model[3].weight.numel() == 8 * 8 * 9
    for name, value in model.state_dict().items():
        assert average.model.state_dict()[name].shape == value.shape
    average.update(model, 0)
    images = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(average.model(images), model.eval()(images))


def test_the_average_is_tested_kept_and_left_in_the_model(
    make: Make, toy: DataSet, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=2, batch_size=16, ema=0.9, lr=0.05)
    model, plain = make(), make()
    rows = fit(model, toy, recipe, out=tmp_path, progress=False, device="cpu")
    assert rows[-1].test_accuracy == evaluate(model, toy).accuracy
    saved = load(tmp_path / "model.safetensors", make).state_dict()
    tensors, _ = container.read(tmp_path / STATE)
    for name, value in model.state_dict().items():
        assert torch.equal(value, saved[name])
        assert torch.equal(value, tensors[f"average.{name}"])
    # What is trained is what a run without an average trains.
    fit(plain, toy, Recipe(epochs=2, batch_size=16, lr=0.05), progress=False, device="cpu")
    assert torch.equal(plain[0].weight, tensors["model.0.weight"])
    assert not torch.equal(plain[0].weight, tensors["average.0.weight"])


@pytest.mark.parametrize("edit", ["missing", "shape", "nan"])
def test_a_damaged_average_is_refused(make: Make, toy: DataSet, tmp_path: Path, edit: str) -> None:
    recipe = Recipe(epochs=1, batch_size=35, ema=0.9)
    fit(make(), toy, recipe, out=tmp_path, progress=False, device="cpu")
    tensors, header = container.read(tmp_path / STATE)
    name = "average.0.weight"
    if edit == "missing":
        del tensors[name]
    else:
        tensors[name] = torch.zeros(3) if edit == "shape" else tensors[name] * float("nan")
    container.write(tmp_path / STATE, tensors, header)
    with pytest.raises(CheckpointError):
        fit(make(), toy, recipe, out=tmp_path, resume=True, progress=False, device="cpu")
