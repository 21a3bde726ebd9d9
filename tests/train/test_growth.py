"""`GrowthSchedule`: when the density doubles, in `fit` and in a user's own loop."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from openwork import io
from openwork.data import Batches, DataSet
from openwork.errors import ArgumentError
from openwork.nn import Plan, SparseLayer
from openwork.train import GrowthSchedule, Recipe, fit

Make = Callable[..., nn.Sequential]
SPARSE = Plan({"*": {"pattern": "random", "density": 0.125}})
# Five steps an epoch: 0.125, from the fourth step 0.25, from the eighth 0.5, and so it stays.
GROWTH = GrowthSchedule(start=0.125, every=4, until=0.5)
RECIPE = Recipe(epochs=3, batch_size=16, optimizer="adam", schedule="constant", growth=GROWTH)


def _live(model: nn.Module) -> int:
    return sum(m.weight.numel() for m in model.modules() if isinstance(m, SparseLayer))


def test_the_density_doubles_up_to_its_limit() -> None:
    schedule = GrowthSchedule(start=0.01, every=10)
    densities = [schedule.density(step) for step in (0, 9, 10, 19, 20, 60, 69, 70, 10**9)]
    assert densities == [0.01, 0.01, 0.02, 0.02, 0.04, 0.64, 0.64, 1.0, 1.0]
    assert GrowthSchedule(start=0.001, every=1, until=0.3).density(10**6) == 0.3


def test_it_grows_at_its_steps_only_and_says_so(make: Make) -> None:
    model = make(SPARSE)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    grown = {step: _live(model) for step in range(20) if GROWTH.step(model, optimizer, step)}
    assert list(grown) == [4, 8]
    assert grown[4] < grown[8]
    whole = make(Plan({"*": {"pattern": "random", "density": 0.5}}))
    assert {n: b for n, b in model.named_buffers() if n.endswith("gaps")}.keys() == {
        "3.gaps",
        "6.gaps",
    }
    for name, value in whole.named_buffers():
        if name.endswith("gaps"):
            assert torch.equal(dict(model.named_buffers())[name], value)


def test_a_loop_of_ones_own_learns_what_fit_learns(make: Make, toy: DataSet) -> None:
    fitted, own = make(SPARSE, dropout=0.0), make(SPARSE, dropout=0.0)
    fit(fitted, toy, RECIPE, device="cpu", progress=False)
    optimizer = torch.optim.Adam(own.parameters(), lr=RECIPE.peak_lr)
    batches = Batches(toy.train, 16, toy.mean, toy.std, shuffle=True, seed=0)
    step = 0
    for epoch in range(3):
        for images, labels, _ in batches.epoch(epoch):
            GROWTH.step(own, optimizer, step)
            optimizer.zero_grad()
            F.cross_entropy(own(images), labels).backward()
            optimizer.step()
            step += 1
    own.eval()
    images = torch.zeros(1, 1, 8, 8)
    assert _live(own) == _live(fitted)
    torch.testing.assert_close(own(images), fitted(images), rtol=1e-4, atol=1e-5)


def test_a_checkpoint_of_any_epoch_holds_what_had_grown(
    make: Make, toy: DataSet, tmp_path: Path
) -> None:
    short = replace(RECIPE, epochs=1)
    model = make(SPARSE)
    fit(model, toy, short, out=tmp_path / "short", device="cpu", progress=False)
    back = io.load(tmp_path / "short" / "model.safetensors", lambda: make(None))
    assert _live(back) == _live(model) > _live(make(SPARSE))
    assert torch.equal(back.eval()(torch.ones(1, 1, 8, 8)), model(torch.ones(1, 1, 8, 8)))


def test_a_dense_network_is_told_that_it_cannot_grow(make: Make, toy: DataSet) -> None:
    with pytest.raises(ArgumentError, match="`model` has no sparse layer to grow"):
        fit(make(None), toy, RECIPE, device="cpu", progress=False)


def test_a_plan_that_cannot_grow_is_refused_before_the_first_step(make: Make) -> None:
    model = make(Plan({"3": {"pattern": "ssc", "taps": 3}, "6": "dense"}))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ArgumentError, match=r"layer '3' cannot grow to the density 0\.5"):
        GROWTH.step(model, optimizer, 0)
    assert not GrowthSchedule(start=0.1, every=9, until=0.3).step(model, optimizer, 0)


def test_data_and_text_come_back() -> None:
    schedule = GrowthSchedule(0.01, 500, 0.5, "original")
    assert GrowthSchedule.from_dict(schedule.to_dict()) == schedule
    assert GrowthSchedule.from_text("start=0.01,every=500,until=0.5,init=original") == schedule
    assert GrowthSchedule.from_text("every=10, start=1e-2") == GrowthSchedule(0.01, 10)
    recipe = Recipe(growth=schedule)
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert "growth" not in Recipe().to_dict()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"start": 0}, r"`start`=0 must lie in \(0, 1\]"),
        ({"until": 2}, "`until`=2 must lie"),
        ({"start": 0.5, "until": 0.25}, "`until`=0.25 must be at least `start`=0.5"),
        ({"every": 0}, "`every`=0 must be a whole number"),
        ({"init": "random"}, "`init`='random'"),
    ],
)
def test_a_value_out_of_range_is_named(values: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        GrowthSchedule(**{"start": 0.1, "every": 10, **values})


@pytest.mark.parametrize("text", ["0.01", "start=0.1", "start=0.1,each=3,every=3", "start=[", ""])
def test_a_text_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="growth '"):
        GrowthSchedule.from_text(text)
