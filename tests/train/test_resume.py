"""A run that stops, by whatever cause, ends with the same weights as one that did not."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from openwork.data import DataSet, Split
from openwork.errors import CheckpointError
from openwork.io import container, info
from openwork.nn import Plan
from openwork.observe import SparsityHistory
from openwork.train import EpochMetrics, GrowthSchedule, Recipe, fit

Make = Callable[..., nn.Sequential]
RECIPES = {
    "sgd": Recipe(epochs=4, batch_size=16, lr=0.05, flip=True, weight_decay=0.01),
    "adam": Recipe(epochs=4, batch_size=16, optimizer="adam", crop_padding=1, warmup=0.3),
    # The network of density 0.5 grows at its 12th step.
    "growing": Recipe(
        epochs=4,
        batch_size=16,
        optimizer="adam",
        growth=GrowthSchedule(start=0.25, every=6, init="original"),
    ),
    "averaged": Recipe(
        epochs=4,
        batch_size=16,
        optimizer="adam",
        ema=0.9,
        clip_norm=0.5,
        accumulate=2,
        growth=GrowthSchedule(start=0.25, every=6),
    ),
}
ADAM = RECIPES["adam"]


def _fit(model: nn.Module, data: DataSet, recipe: Recipe = ADAM, **options) -> list[EpochMetrics]:
    return fit(model, data, recipe, device="cpu", progress=False, **options)


def _stop(model: nn.Module, calls: int) -> nn.Module:
    """Ctrl-C in the training step after so many."""
    count = 0

    def hook(module: nn.Module, inputs: object) -> None:
        nonlocal count
        count += module.training
        if count > calls:
            raise KeyboardInterrupt

    model.register_forward_pre_hook(hook)
    return model


def _equal(one: nn.Module, two: nn.Module) -> bool:
    left, right = one.state_dict(), two.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


def _timeless(history: list[EpochMetrics]) -> list[EpochMetrics]:
    return [replace(row, seconds=0.0) for row in history]


def _contents(folder: Path) -> dict[str, Any]:
    """All that a run ends with: tensors as lists, for `==`; without the seconds."""
    tensors, header = container.read(folder / "state.safetensors")
    header["history"] = [row | {"seconds": 0.0} for row in header["history"]]
    return {name: tensor.tolist() for name, tensor in tensors.items()} | {"header": header}


# Five steps an epoch: after the second epoch, in the middle of the third and of the fourth.
@pytest.mark.parametrize("calls", [10, 13, 18])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_stopped_and_resumed_is_uninterrupted(
    make: Make, toy: DataSet, tmp_path: Path, recipe: Recipe, calls: int
) -> None:
    whole = make()
    expected = _fit(whole, toy, recipe, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        _fit(_stop(make(), calls), toy, recipe, out=tmp_path / "parts")
    torch.manual_seed(99)
    model = make()
    history = _fit(model, toy, recipe, out=tmp_path / "parts", resume=True)
    assert _equal(model, whole)
    assert _timeless(history) == _timeless(expected)
    assert _contents(tmp_path / "parts") == _contents(tmp_path / "whole")


def test_stopped_in_every_epoch_is_uninterrupted(make: Make, toy: DataSet, tmp_path: Path) -> None:
    whole = make()
    _fit(whole, toy)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            _fit(_stop(make(), 7), toy, out=tmp_path, resume=True)
    model = make()
    history = _fit(model, toy, out=tmp_path, resume=True)
    assert [row.epoch for row in history] == [1, 2, 3, 4]
    assert _equal(model, whole)


def test_the_folder_does_not_change_what_is_learnt(
    make: Make, toy: DataSet, tmp_path: Path
) -> None:
    kept, free = make(), make()
    _fit(kept, toy, out=tmp_path)
    _fit(free, toy)
    assert _equal(kept, free)


@pytest.mark.parametrize("calls", [2, 10, 13])
def test_the_history_of_sparsity_resumes_with_the_run(
    make: Make, toy: DataSet, tmp_path: Path, calls: int
) -> None:
    def watched(folder: str, model: nn.Module, **options) -> SparsityHistory:
        # Scales start at 1 and move by about the rate, so that each epoch has its own count.
        seen = SparsityHistory(gamma_below=1.0, path=tmp_path / folder / "sparsity.csv")
        _fit(model, toy, out=tmp_path / folder, on_epoch=seen, **options)
        return seen

    expected = watched("whole", make()).epochs
    assert [row.epoch for row in expected] == [1, 2, 3, 4]
    assert 0 < expected[-1].dead["1"] < 8
    with pytest.raises(KeyboardInterrupt):
        watched("parts", _stop(make(), calls))
    assert watched("parts", make(), resume=True).epochs == expected
    texts = [(tmp_path / folder / "sparsity.csv").read_text() for folder in ("whole", "parts")]
    assert texts[0] == texts[1]


def test_an_epoch_is_reported_before_it_is_kept(make: Make, toy: DataSet, tmp_path: Path) -> None:
    def stop(model: nn.Module, epoch: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _fit(make(), toy, out=tmp_path, on_epoch=stop)
    seen: list[int] = []
    _fit(make(), toy, out=tmp_path, resume=True, on_epoch=lambda model, epoch: seen.append(epoch))
    assert seen == [2, 3, 4]


def test_resuming_in_an_empty_folder_starts(make: Make, toy: DataSet, tmp_path: Path) -> None:
    resumed, started = make(), make()
    history = _fit(resumed, toy, out=tmp_path / "new", resume=True)
    assert len(history) == 4
    _fit(started, toy)
    assert _equal(resumed, started)


def test_a_finished_run_gives_its_history_and_changes_nothing(
    make: Make, toy: DataSet, tmp_path: Path
) -> None:
    whole = make()
    expected = _fit(whole, toy, out=tmp_path)
    before = (tmp_path / "state.safetensors").read_bytes()
    table = (tmp_path / "metrics.csv").read_bytes()
    model = make()
    assert _fit(model, toy, out=tmp_path, resume=True) == expected
    assert _equal(model, whole)
    assert not model.training
    assert (tmp_path / "state.safetensors").read_bytes() == before
    assert (tmp_path / "metrics.csv").read_bytes() == table


def test_killed_after_the_state_the_other_files_catch_up(
    make: Make, toy: DataSet, tmp_path: Path
) -> None:
    """`state` is written first, so a kill right behind it leaves the others an epoch behind."""
    with pytest.raises(KeyboardInterrupt):
        _fit(_stop(make(), 15), toy, out=tmp_path)
    old = {name: (tmp_path / name).read_bytes() for name in ("model.safetensors", "metrics.csv")}
    _fit(make(), toy, out=tmp_path, resume=True)
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)
    _fit(make(), toy, out=tmp_path, resume=True)
    assert info(tmp_path / "model.safetensors").metrics["epoch"] == 4
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 5


def test_the_wrong_arguments_are_named_and_nothing_is_touched(
    make: Make, toy: DataSet, tmp_path: Path
) -> None:
    _fit(make(), toy, Recipe(epochs=1, batch_size=16), out=tmp_path)
    before = (tmp_path / "state.safetensors").read_bytes()
    other = Plan({"*": {"pattern": "random", "density": 0.25}})
    recipe = Recipe(epochs=1, batch_size=16)
    cases = [
        (make(plan=other), toy, recipe, "another plan: 2 layers differ, the first is '3'"),
        (make(), toy, replace(recipe, lr=0.2), "another recipe: lr is 0.1 there, 0.2 here"),
        (
            make(),
            replace(toy, name="other"),
            recipe,
            "another data: name is 'toy' there, 'other' here",
        ),
        (nn.ModuleList([make()]), toy, recipe, "another model: 'Sequential' there, 'ModuleList'"),
    ]
    for model, data, asked, message in cases:
        with pytest.raises(CheckpointError, match=message):
            _fit(model, data, asked, out=tmp_path, resume=True)
    assert (tmp_path / "state.safetensors").read_bytes() == before


def test_a_damaged_state_is_refused(make: Make, toy: DataSet, tmp_path: Path) -> None:
    _fit(make(), toy, Recipe(epochs=1, batch_size=16), out=tmp_path)
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="truncated"):
        _fit(make(), toy, Recipe(epochs=1, batch_size=16), out=tmp_path, resume=True)


def _finished(state: Path) -> int:
    """Finished epochs by the header, which is complete whenever the file is there."""
    return len(container.read_header(state)["history"]) if state.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--grow", "start=0.2,every=13")], ids=["fixed", "growing"])
def test_killed_and_resumed_is_uninterrupted(
    tmp_path: Path,
    start: Callable[..., subprocess.Popen[str]],
    finish: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[str, ...],
) -> None:
    monkeypatch.setenv("OPENWORK_CACHE", str(tmp_path / "cache"))
    # So many epochs that the kill finds the run in the middle.
    options = ("--epochs", 16, "--images", 211, "--optimizer", "adam", "--dropout", 0.2, *more)
    killed = start("digits.py", tmp_path / "killed", *options)
    state, deadline = tmp_path / "killed" / "state.safetensors", time.monotonic() + 100
    while _finished(state) < 2:
        with contextlib.suppress(subprocess.TimeoutExpired):
            killed.wait(0.02)
        assert killed.poll() is None, killed.communicate()[0]
        assert time.monotonic() < deadline, "no epoch was finished"
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert 2 <= _finished(state) < 16
    finish("digits.py", tmp_path / "killed", *options, "--resume")
    finish("digits.py", tmp_path / "whole", *options)
    assert _contents(tmp_path / "killed") == _contents(tmp_path / "whole")
    left = {path.name for path in (tmp_path / "killed").iterdir() if "partial" not in path.name}
    assert left == {path.name for path in (tmp_path / "whole").iterdir()}


def test_a_memory_mapped_split_resumes_too(make: Make, toy: DataSet, tmp_path: Path) -> None:
    """What `load` gives is read-only; nothing of a run may write to it."""
    images = toy.train.images.copy()
    images.flags.writeable = False
    data = replace(toy, train=Split(images, toy.train.labels))
    with pytest.raises(KeyboardInterrupt):
        _fit(_stop(make(), 5), data, out=tmp_path)
    model, whole = make(), make()
    _fit(model, data, out=tmp_path, resume=True)
    _fit(whole, toy)
    assert _equal(model, whole)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_run_is_made_longer(make: Make, toy: DataSet, tmp_path: Path, schedule: str) -> None:
    short = Recipe(epochs=2, batch_size=16, lr=0.05, schedule=schedule, warmup=0.3)
    whole, two = make(), make()
    rows = _fit(whole, toy, replace(short, epochs=4))
    _fit(two, toy, short, out=tmp_path)
    # Killed in the third epoch, and resumed again.
    with pytest.raises(KeyboardInterrupt):
        _fit(_stop(make(), 2), toy, replace(short, epochs=4), out=tmp_path, resume=True)
    again = make()
    longer = _fit(again, toy, replace(short, epochs=4), out=tmp_path, resume=True)
    assert [row.epoch for row in longer] == [1, 2, 3, 4]
    # From where it was made longer the rates are those of a run of four epochs.
    assert [row.lr for row in longer[2:]] == [row.lr for row in rows[2:]]
    if schedule == "constant":
        continued = make()
        _fit(continued, toy, replace(short, warmup=0.0), out=tmp_path / "b")
        _fit(continued, toy, replace(short, warmup=0.0, epochs=4), out=tmp_path / "b", resume=True)
        straight = make()
        _fit(straight, toy, replace(short, warmup=0.0, epochs=4))
        assert _equal(continued, straight)
    with pytest.raises(CheckpointError, match="epochs is 4 there, 3 here"):
        _fit(make(), toy, replace(short, epochs=3), out=tmp_path, resume=True)
