"""A run's state: whatever its header or tensors hold, it is taken whole or refused by name."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from openwork.data import DataSet
from openwork.errors import CheckpointError
from openwork.io import container
from openwork.train import Recipe, fit
from openwork.train.metrics import EpochMetrics
from openwork.train.run_folder import STATE
from openwork.train.run_state import read_state

Make = Callable[..., nn.Sequential]
Edit = Callable[[dict[str, torch.Tensor], dict[str, Any]], object]
RECIPES = {
    name: Recipe(epochs=2, batch_size=32, optimizer=name)
    for name in ("sgd", "adam", "adamw", "adagrad", "adadelta", "rmsprop")
}
NAN, INF = float("nan"), float("inf")


class _Stop(Exception):
    pass


def _run(out: Path, make: Make, toy: DataSet, recipe: Recipe, **options: Any) -> list[EpochMetrics]:
    return fit(make(), toy, recipe, out=out, progress=False, device="cpu", **options)


@pytest.fixture(params=["sgd", "adam"])
def halfway(request: pytest.FixtureRequest, make: Make, toy: DataSet, tmp_path: Path):
    """The folder of a run with one of its two epochs, and its recipe."""

    def stop(model: nn.Module, epoch: int) -> None:
        if epoch == 2:
            raise _Stop

    recipe = RECIPES[request.param]
    with pytest.raises(_Stop):
        _run(tmp_path / "run", make, toy, recipe, on_epoch=stop)
    return tmp_path / "run", recipe


def _row(**changes: Any) -> Edit:
    return lambda t, h: h["history"][0].update(changes)


def _first(value: Callable[[torch.Tensor], torch.Tensor], of: str) -> Edit:
    """Change the first tensor whose name begins with `of`."""

    def edit(tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
        name = next(n for n in sorted(tensors) if n.startswith(of) and tensors[n].dim() > 0)
        tensors[name] = value(tensors[name])

    return edit


KEYS = ("identity", "aliases", "optimizer", "history")
VALUES = ([], 3, "text", None, {"x": {"y": [1]}}, [[[]]], 1e308, -1)
EDITS: dict[str, Edit] = {
    **{f"without {key}": lambda t, h, k=key: h.pop(k) for key in KEYS},
    **{
        f"{key} is {value!r}": lambda t, h, k=key, v=value: h.update({k: v})
        for key in KEYS
        for value in VALUES
        if (key, value) not in (("optimizer", []), ("aliases", []))
    },
    **{
        f"identity.{key} is {value!r}": lambda t, h, k=key, v=value: h["identity"].update({k: v})
        for key in ("model", "data", "recipe", "frozen", "patterns")
        for value in (3, None, [{}], {"name": 1}, "text")
    },
    **{
        f"{key} of the recipe is {value!r}": (
            lambda t, h, k=key, v=value: h["identity"]["recipe"].update({k: v})
        )
        for key in ("epochs", "optimizer")
        for value in (None, -1, "2", 10**30, [2])
    },
    "no history": lambda t, h: h.update(history=[]),
    "more epochs than the recipe": lambda t, h: h.update(history=h["history"] * 3),
    "a row twice": lambda t, h: h.update(history=h["history"] * 2),
    "a row is a list": lambda t, h: h.update(history=[[1]]),
    "a column more": _row(gpu_seconds=1),
    "a column less": lambda t, h: h["history"][0].pop("lr"),
    "epoch 0": _row(epoch=0),
    "epoch 1.0": _row(epoch=1.0),
    "epoch true": _row(epoch=True),
    "accuracy 1.5": _row(test_accuracy=1.5),
    "loss NaN": _row(train_loss=NAN),
    "loss infinite": _row(test_loss=INF),
    "seconds below 0": _row(seconds=-1.0),
    "a rate of 300 digits": _row(lr=10**999),
    "a text": _row(lr="0.1"),
    "alias to nothing": lambda t, h: h.update(aliases={"x": "nope"}),
    "alias to a list": lambda t, h: h.update(aliases={"x": [1]}),
    "an alias that no model has": lambda t, h: h.update(aliases={"x": "0.weight"}),
    **{
        f"index {index!r}": lambda t, h, i=index: h["optimizer"].update({i: {}})
        for index in ("abc", "-1", "00", "999", "", "٣", "1e3", "9" * 900)
    },
    "plain values": lambda t, h: h["optimizer"]["0"].update(x=[1]),
    "values are a list": lambda t, h: h["optimizer"].update({"0": [1]}),
    "optimizer.x.y": lambda t, h: t.update({"optimizer.x.y": torch.zeros(1)}),
    "optimizer.0.x": lambda t, h: t.update({"optimizer.0.x": torch.zeros(1)}),
    "optimizer": lambda t, h: t.update({"optimizer": torch.zeros(1)}),
    "a tensor of nothing": lambda t, h: t.update({"other.x": torch.zeros(1)}),
    "a weight less": lambda t, h: t.pop("model.0.weight"),
    "a weight more": lambda t, h: t.update({"model.9.weight": torch.zeros(1)}),
    "a value of the optimiser less": lambda t, h: t.pop(
        next(n for n in t if n.startswith("optimizer.0."))
    ),
    **{
        f"{of} {name}": _first(value, of)
        for of in ("model.", "optimizer.")
        for name, value in {
            "of another shape": lambda x: torch.zeros(3),
            "without numbers": lambda x: torch.zeros(0),
            "of five axes": lambda x: x.reshape(x.shape + (1,) * 5),
            "of whole numbers": lambda x: x.long(),
            "complex": lambda x: x.to(torch.complex64),
            "bool": lambda x: x.bool(),
            "NaN": lambda x: torch.full_like(x, NAN),
        }.items()
    },
    "gaps are zeros": lambda t, h: t.update({"model.3.gaps": t["model.3.gaps"] * 0}),
    "gaps too far": lambda t, h: t.update({"model.3.gaps": t["model.3.gaps"] * 0 + 255}),
    "no gaps": lambda t, h: t.pop("model.3.gaps"),
    "gaps of floats": lambda t, h: t.update({"model.3.gaps": t["model.3.gaps"].float()}),
    "gaps of brain floats": lambda t, h: t.update({"model.3.gaps": t["model.3.gaps"].bfloat16()}),
}


def _edit(folder: Path, edit: Edit) -> None:
    tensors, header = container.read(folder / STATE)
    edit(tensors, header)
    container.write(folder / STATE, tensors, header)


def test_every_edit_is_refused(
    halfway: tuple[Path, Recipe], make: Make, toy: DataSet, tmp_path: Path
) -> None:
    run, recipe = halfway
    wrong = []
    for name, edit in EDITS.items():
        shutil.copytree(run, tmp_path / "copy", dirs_exist_ok=True)
        _edit(tmp_path / "copy", edit)
        try:
            _run(tmp_path / "copy", make, toy, recipe, resume=True)
            wrong.append((name, "taken"))
        except CheckpointError as error:
            if len(str(error)) > 3000:
                wrong.append((name, "a long message"))
        except Exception as error:
            wrong.append((name, repr(error)))
    assert wrong == []


@pytest.mark.parametrize("step", [-1.0, 0.0, 0.5, NAN, INF, 1e300])
def test_steps_are_counted_from_one(make: Make, toy: DataSet, tmp_path: Path, step: float) -> None:
    recipe = RECIPES["adam"]
    _run(tmp_path, make, toy, recipe)

    def edit(tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
        tensors["optimizer.0.step"] = torch.tensor(step, dtype=torch.float64)

    _edit(tmp_path, edit)
    with pytest.raises(CheckpointError, match=r"`optimizer\.0\.step` is "):
        _run(tmp_path, make, toy, recipe, resume=True)


@pytest.mark.parametrize("name", RECIPES)
def test_what_every_optimiser_keeps_is_taken(
    make: Make, toy: DataSet, tmp_path: Path, name: str
) -> None:
    rows = _run(tmp_path, make, toy, RECIPES[name])
    assert _run(tmp_path, make, toy, RECIPES[name], resume=True) == rows
    state = read_state(tmp_path / STATE)
    assert state.history == rows
    assert set(state.weights) == set(make().state_dict())


def test_squares_below_zero_are_refused(make: Make, toy: DataSet, tmp_path: Path) -> None:
    recipe = RECIPES["adam"]
    _run(tmp_path, make, toy, recipe)

    def edit(tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
        tensors["optimizer.0.exp_avg_sq"] -= 1

    _edit(tmp_path, edit)
    with pytest.raises(CheckpointError, match="NaN, or values below 0"):
        _run(tmp_path, make, toy, recipe, resume=True)
