"""`fit`: it learns, says what it did, and stops with a reason."""

import csv
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from openwork.data import DataSet, Split
from openwork.errors import ArgumentError, CheckpointError, OpenworkError
from openwork.io import info, load
from openwork.nn import Plan
from openwork.train import Recipe, evaluate, fit
from openwork.train.schedules import lr_factor

Make = Callable[..., nn.Sequential]
QUICK = Recipe(epochs=2, batch_size=16, lr=0.05)


def _fit(model: nn.Module, data: DataSet, recipe: Recipe = QUICK, **options):
    return fit(model, data, recipe, device="cpu", progress=False, **options)


def _equal(one: nn.Module, two: nn.Module) -> bool:
    left, right = one.state_dict(), two.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_sparse_network_learns(make: Make, toy: DataSet, precision: str) -> None:
    model = make()
    before = evaluate(model, toy)
    recipe = Recipe(epochs=6, batch_size=16, lr=0.05, precision=precision)
    history = _fit(model, toy, recipe)
    assert before.accuracy < 0.6
    assert history[-1].test_accuracy > 0.9
    assert history[-1].train_loss < history[0].train_loss / 2
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert not any(module.training for module in model.modules())


def test_bfloat16_is_used_where_it_is_asked_for(make: Make, toy: DataSet) -> None:
    seen: set[torch.dtype] = set()
    model = make()
    model[0].register_forward_hook(lambda module, inputs, result: seen.add(result.dtype))
    _fit(model, toy, Recipe(epochs=1, batch_size=16, precision="bfloat16"))
    assert seen == {torch.bfloat16}


def test_the_last_row_is_what_evaluate_finds(make: Make, toy: DataSet) -> None:
    model = make()
    row = _fit(model, toy)[-1]
    found = evaluate(model, toy)
    assert row.test_accuracy == found.accuracy
    # The same sums, of batches of another size.
    assert row.test_loss == pytest.approx(found.loss, rel=1e-5)


def test_the_same_seed_gives_the_same_bits(make: Make, toy: DataSet) -> None:
    recipe = Recipe(epochs=2, batch_size=16, optimizer="adam", flip=True, crop_padding=1)
    one, two, three = make(), make(), make()
    first = _fit(one, toy, recipe)
    torch.manual_seed(123)
    second = _fit(two, toy, recipe)
    _fit(three, toy, replace(recipe, seed=1))
    assert _equal(one, two)
    assert not _equal(one, three)
    assert [row.train_loss for row in first] == [row.train_loss for row in second]


def test_one_epoch_in_plain_torch(make: Make, toy: DataSet) -> None:
    """No shuffling can change one batch that holds everything: a user's own loop agrees."""
    recipe = Recipe(
        epochs=3,
        batch_size=70,
        lr=0.1,
        momentum=0.5,
        l2=0.01,
        label_smoothing=0.1,
        schedule="linear",
    )
    ours, plain = make(dropout=0.0), make(dropout=0.0)
    history = _fit(ours, toy, recipe)
    images = torch.from_numpy(toy.train.images).float() / 255
    images = (images - toy.mean[0]) / toy.std[0]
    labels = torch.from_numpy(toy.train.labels)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.5, weight_decay=0.01)
    for epoch in range(3):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - epoch / 3)
        loss = F.cross_entropy(plain(images), labels, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert history[epoch].train_loss == pytest.approx(loss.item(), rel=1e-5)
        assert history[epoch].lr == pytest.approx(0.1 * (1 - epoch / 3), rel=1e-12)
    for value, other in zip(ours.parameters(), plain.parameters(), strict=True):
        # The same sums in the order of the shuffle: float32 rounding, grown over three steps.
        torch.testing.assert_close(value, other, rtol=1e-4, atol=1e-5)


def test_the_learning_rate_follows_the_schedule(make: Make, toy: DataSet) -> None:
    recipe = Recipe(epochs=4, batch_size=16, lr=0.2, schedule="cosine", warmup=0.5)
    history = _fit(make(), toy, recipe)
    for row in history:
        # Five batches; the rate of a row is that of the last one.
        at = (row.epoch - 1 + 4 / 5) / 4
        factor = lr_factor("cosine", at, warmup=0.5, milestones=(), drop=1.0)
        assert row.lr == pytest.approx(0.2 * factor, rel=1e-12)


class _Constant(nn.Module):
    """The same logits for each image, so that every loss is known in advance."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([2.0, 1.0, 0.0, -1.0]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), 4)


@pytest.mark.parametrize("batch_size", [1, 16, 68, 70, 1000])
def test_every_sample_weighs_the_same_in_any_batch(toy: DataSet, batch_size: int) -> None:
    # A rate so small that the weights do not move within float32.
    row = _fit(_Constant(), toy, Recipe(epochs=1, batch_size=batch_size, lr=1e-12))[0]
    labels = torch.from_numpy(toy.train.labels)
    logits = _Constant().logits.detach()
    assert row.train_loss == pytest.approx((-logits.log_softmax(0)[labels]).mean().item(), 1e-6)
    assert row.train_accuracy == pytest.approx((labels == 0).float().mean().item(), 1e-6)


def test_the_gradient_is_the_mean_of_the_partial_batch_too(toy: DataSet) -> None:
    model = _Constant()
    seen: list[torch.Tensor] = []
    model.logits.register_hook(lambda gradient: seen.append(gradient.clone()))
    _fit(model, toy, Recipe(epochs=1, batch_size=68, lr=1e-12))
    assert len(seen) == 2
    # Two samples: softmax minus their one-hots' mean, with entries of order one, not 1/68.
    softmax = _Constant().logits.detach().softmax(0)
    pairs = itertools.combinations_with_replacement(torch.eye(4), 2)
    candidates = [softmax - (one + other) / 2 for one, other in pairs]
    assert any(torch.allclose(seen[1], gradient, rtol=0, atol=1e-6) for gradient in candidates)


def test_everything_is_in_the_folder(make: Make, toy: DataSet, plan: Plan, tmp_path: Path) -> None:
    model = make()
    history = _fit(model, toy, out=tmp_path / "deep" / "run", plan=plan)
    folder = tmp_path / "deep" / "run"
    assert {path.name for path in folder.iterdir()} == {
        "state.safetensors",
        "model.safetensors",
        "plan.yaml",
        "metrics.csv",
        "events",
    }
    assert [row.epoch for row in history] == [1, 2]
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["test_loss"]) for row in rows] == [row.test_loss for row in history]
    assert Plan.from_yaml(folder / "plan.yaml") == plan
    assert _equal(load(folder / "model.safetensors", lambda: make(plan=None)), model)
    assert info(folder / "model.safetensors").metrics["test_loss"] == history[-1].test_loss
    assert len(list((folder / "events").iterdir())) == 1


def test_nothing_is_kept_without_a_folder(
    make: Make, toy: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(_fit(make(), toy)) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_a_run_is_left_alone(make: Make, toy: DataSet, tmp_path: Path) -> None:
    _fit(make(), toy, out=tmp_path)
    before = (tmp_path / "state.safetensors").read_bytes()
    model, untouched = make(), make()
    with pytest.raises(CheckpointError, match="holds a run already"):
        _fit(model, toy, out=tmp_path)
    assert (tmp_path / "state.safetensors").read_bytes() == before
    assert _equal(model, untouched)


def test_an_unwritable_folder_is_refused_before_training(
    make: Make, toy: DataSet, unwritable_folder: Path
) -> None:
    model, untouched = make(), make()
    with pytest.raises(OpenworkError, match=r"`out`=.* cannot be written to"):
        _fit(model, toy, out=unwritable_folder / "run")
    assert _equal(model, untouched)


def test_a_loss_that_is_no_number_stops_the_run(make: Make, toy: DataSet, tmp_path: Path) -> None:
    with pytest.raises(
        OpenworkError, match=r"became NaN or infinite in epoch 1; lower `lr`.*1e\+30"
    ):
        _fit(make(), toy, Recipe(epochs=2, batch_size=16, lr=1e30), out=tmp_path)
    assert not (tmp_path / "state.safetensors").exists()


def test_weights_that_are_no_numbers_are_named(make: Make, toy: DataSet) -> None:
    model = make()
    name, parameter = next(model.named_parameters())
    parameter.data.view(-1)[0] = float("nan")
    with pytest.raises(ArgumentError, match=f"`model` has numbers that are NaN .* '{name}'"):
        _fit(model, toy)


def test_a_last_step_into_nowhere_stops_the_run(make: Make, toy: DataSet, tmp_path: Path) -> None:
    """One batch an epoch: the training loss is still fine when its step ruins the weights."""
    with pytest.raises(OpenworkError, match="became NaN or infinite in epoch 1"):
        _fit(make(), toy, Recipe(epochs=1, batch_size=70, lr=1e38), out=tmp_path)
    assert not (tmp_path / "state.safetensors").exists()


@pytest.mark.parametrize("options", [{"flip": True}, {"crop_padding": 2}, {"flip": False}])
def test_augmentation_changes_what_the_network_sees(toy: DataSet, options: dict) -> None:
    seen: list[torch.Tensor] = []
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    model.register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0]) if module.training else None
    )
    _fit(model, toy, Recipe(epochs=1, batch_size=70, **options))
    images = torch.from_numpy(toy.train.images).float().div(255).sub(0.3).div(0.2)
    same = sum((seen[0] == image).all(3).all(2).any().item() for image in images[:, None, :])
    assert (same == 70) is (options == {"flip": False})


def test_a_model_with_nothing_to_train_is_refused(make: Make, toy: DataSet) -> None:
    for model in (make().requires_grad_(False), nn.Flatten()):
        with pytest.raises(ArgumentError, match="`model` has no parameter to train"):
            _fit(model, toy)


def test_auxiliary_outputs_are_refused(toy: DataSet) -> None:
    class Auxiliary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(64, 4)

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits = self.linear(images)
            return logits, logits

    with pytest.raises(ArgumentError, match=r"`model` returns a tuple in training"):
        _fit(nn.Sequential(nn.Flatten(), Auxiliary()), toy)


def test_frozen_layers_stay(make: Make, toy: DataSet) -> None:
    model, start = make(), make()
    model[0].requires_grad_(False)
    _fit(model, toy)
    assert torch.equal(model.get_parameter("0.weight"), start.get_parameter("0.weight"))
    assert not torch.equal(model.get_parameter("6.weight"), start.get_parameter("6.weight"))


def test_a_data_set_smaller_than_a_batch_is_one_batch(make: Make) -> None:
    images = np.arange(3 * 64, dtype=np.uint8).reshape(3, 1, 8, 8)
    split = Split(images, np.array([0, 1, 2]))
    data = DataSet("three", split, split, tuple("abcd"), (0.5,), (0.5,))
    row = _fit(make(), data, Recipe(epochs=1))[0]
    assert math.isfinite(row.train_loss)


def test_one_image_beyond_full_batches_is_no_trap_for_batch_norm(toy: DataSet) -> None:
    split = Split(toy.train.images[:17], toy.train.labels[:17])
    data = DataSet("17", split, toy.test, toy.classes, toy.mean, toy.std)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4))
    row = _fit(model, data, Recipe(epochs=1, batch_size=8))[0]
    assert math.isfinite(row.train_loss)


def test_progress_goes_to_standard_error(
    make: Make, toy: DataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(make(), toy, QUICK, device="cpu")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "epoch 1/2" in shown.err
    assert "epoch 2/2" in shown.err
    _fit(make(), toy)
    assert capsys.readouterr().err == ""


def test_the_state_of_a_talkative_model_is_refused(toy: DataSet, tmp_path: Path) -> None:
    class Talkative(nn.Linear):
        def get_extra_state(self) -> dict[str, str]:
            return {"mood": "fine"}

    model = nn.Sequential(nn.Flatten(), Talkative(64, 4))
    with pytest.raises(ArgumentError, match=r"'1\._extra_state' of type dict"):
        _fit(model, toy, out=tmp_path)


def test_resuming_nowhere_and_training_on_nothing_known_are_refused(
    make: Make, toy: DataSet
) -> None:
    with pytest.raises(ArgumentError, match="`resume`=True needs `out`"):
        fit(make(), toy, Recipe(), resume=True)
    with pytest.raises(ArgumentError, match="`device`='tpu'"):
        fit(make(), toy, Recipe(), device="tpu")
