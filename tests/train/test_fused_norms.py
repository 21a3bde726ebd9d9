"""`fit(fuse=True)`: batch norms compute what follows them, during the training only."""

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from openwork.data import DataSet
from openwork.errors import VerificationError
from openwork.io import load
from openwork.nn import BatchNormAct2d, fuse_norms_
from openwork.train import Recipe, fit

Make = Callable[..., nn.Sequential]
RECIPE = Recipe(epochs=2, batch_size=16, lr=0.05)


def _kinds(model: nn.Module) -> list[type[nn.Module]]:
    return [type(module) for module in model.modules()]


@pytest.mark.parametrize("fuse", [True, False])
def test_norms_are_fused_if_asked_and_only_during_training(
    make: Make, toy: DataSet, fuse: bool
) -> None:
    model, twin = make(), make()
    before, state = _kinds(model), model.state_dict(keep_vars=True)
    during = []
    rows = fit(
        model,
        toy,
        RECIPE,
        device="cpu",
        progress=False,
        fuse=fuse,
        on_epoch=lambda trained, _: during.append(BatchNormAct2d in _kinds(trained)),
    )
    expected = fit(twin, toy, RECIPE, device="cpu", progress=False)
    assert during == [fuse, fuse]
    assert _kinds(model) == before
    assert all(model.state_dict(keep_vars=True)[name] is value for name, value in state.items())
    for row, other in zip(rows, expected, strict=True):
        assert row.train_loss == pytest.approx(other.train_loss, rel=1e-3)
    for name, value in twin.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-2, atol=1e-3)


def test_what_was_fused_before_stays_so(make: Make, toy: DataSet) -> None:
    model = make()
    fuse_norms_(model, torch.randn(2, 1, 8, 8))
    before = _kinds(model)
    fit(model, toy, RECIPE, device="cpu", progress=False, fuse=True)
    assert _kinds(model) == before


def test_a_run_may_be_resumed_without(make: Make, toy: DataSet, tmp_path: Path) -> None:
    settings = {"device": "cpu", "progress": False, "out": tmp_path}
    fit(make(), toy, RECIPE, fuse=True, **settings)
    longer = dataclasses.replace(RECIPE, epochs=3)
    model = make()
    assert len(fit(model, toy, longer, resume=True, **settings)) == 3
    found = load(tmp_path / "model.safetensors", make)
    assert _kinds(found) == _kinds(model)


class _AsksForItsNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.end = nn.BatchNorm2d(1), nn.Linear(64, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x).relu() + float(type(self.norm) is nn.BatchNorm2d)
        return self.end(y.flatten(1))


def test_where_outputs_would_change_nothing_is_trained(toy: DataSet) -> None:
    model = _AsksForItsNorm()
    state = copy.deepcopy(model.state_dict())
    with pytest.raises(VerificationError, match="would differ"):
        fit(model, toy, RECIPE, device="cpu", progress=False, fuse=True)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
    assert type(model.norm) is nn.BatchNorm2d
