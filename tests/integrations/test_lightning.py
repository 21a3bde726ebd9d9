"""The callback inside a real Lightning trainer."""

import functools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import openwork as ow
from openwork._unchanged import unchanged
from openwork.errors import ArgumentError
from openwork.integrations import GradualPruning
from openwork.nn import Plan
from openwork.nn.layers import sparse_layers
from openwork.train import GrowthSchedule
from openwork.walk import walk

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    lightning: Any = pytest.importorskip("pytorch_lightning")
    from openwork.integrations.lightning import LightningSparsity

Make = Callable[[], nn.Sequential]
Images = tuple[torch.Tensor, torch.Tensor]


class _Lit(lightning.LightningModule):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)

    def training_step(self, batch: Images, batch_idx: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # Advice about workers and loggers.
        warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning|torch)\..*")
        yield


@pytest.fixture
def loader(images: Images) -> DataLoader:
    return DataLoader(TensorDataset(*images), batch_size=6)


def _trainer(tmp_path: Path, epochs: int, callback: Any, **more: Any) -> Any:
    return lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        callbacks=[callback],
        default_root_dir=tmp_path,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        **more,
    )


def _densities(model: nn.Module) -> list[float]:
    return [layer.pattern.density for layer in sparse_layers(model).values()]


def test_it_sparsifies_observes_and_compacts(
    make: Make, plan: Plan, loader: DataLoader, tmp_path: Path
) -> None:
    lit = _Lit(make())
    with torch.no_grad():
        # Two channels that nothing reads after training either.
        lit.model[4].weight[:2] = 0
        lit.model[4].bias[:2] = 0
        lit.model[4].requires_grad_(False)
    callback: Any = LightningSparsity(
        plan, history=tmp_path / "sparsity.csv", compact_to=tmp_path / "small.st", network="model"
    )
    _trainer(tmp_path, 2, callback).fit(lit, loader)
    assert _densities(lit.model) == [0.25, 0.25]
    assert [row.epoch for row in callback.history.epochs] == [1, 2]
    assert callback.history.epochs[-1].dead["4"] == 2
    small: Any = ow.load(tmp_path / "small.st", make).eval()
    assert small[4].num_features == 6
    before, after = callback.report.parameters
    assert after < before
    x = next(iter(loader))[0]
    torch.testing.assert_close(small(x), lit.model.eval()(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("network", ["", "model"])
@pytest.mark.parametrize("how", ["growth", "pruning"])
def test_a_checkpoint_continues_after_the_network_has_changed(
    make: Make, plan: Plan, loader: DataLoader, tmp_path: Path, how: str, network: str
) -> None:
    def callback() -> LightningSparsity:
        if how == "growth":
            growth = GrowthSchedule(start=0.25, every=5)
            return LightningSparsity(plan, growth=growth, network=network)
        pruning = GradualPruning(0.75, steps=3, begin=1, every=4, recalibrate=2)
        return LightningSparsity(pruning=pruning, network=network)

    # Four steps an epoch: changes before the checkpoint, and after it.
    whole, first, second = _Lit(make()), _Lit(make()), _Lit(make())
    _trainer(tmp_path, 3, callback()).fit(whole, loader)
    trainer = _trainer(tmp_path, 2, callback())
    trainer.fit(first, loader)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert _densities(first.model) != _densities(whole.model)
    _trainer(tmp_path, 3, callback()).fit(second, loader, ckpt_path=tmp_path / "last.ckpt")
    expected, found = whole.state_dict(), second.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    assert _densities(ow.adopt_(make(), state, prefix="model.")) == _densities(first.model)


def test_what_a_cut_puts_back_ends_before_the_trainer(
    make: Make, plan: Plan, loader: DataLoader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lit = _Lit(make())
    _trainer(tmp_path, 1, LightningSparsity(plan)).fit(lit, loader)
    # The last of many lists is reached long after the trainer.
    innermost = [0]
    lit.lists = functools.reduce(lambda inner, _: [inner], range(60), innermost)
    monkeypatch.setattr(walk, "_MOST", 2_000)
    with unchanged(lit):
        innermost[0] += 1
    assert innermost == [0]


def test_accumulated_batches_are_one_step(
    make: Make, loader: DataLoader, plan: Plan, tmp_path: Path
) -> None:
    lit = _Lit(make())
    growth = GrowthSchedule(start=0.25, every=1)
    callback = LightningSparsity(plan, growth=growth, network="model")
    _trainer(tmp_path, 1, callback, accumulate_grad_batches=2).fit(lit, loader)
    # Steps 0 and 1.
    assert _densities(lit.model) == [0.5, 0.5]


def test_what_cannot_be_is_refused(make: Make, plan: Plan, loader: DataLoader, tmp_path) -> None:
    with pytest.raises(ArgumentError, match="`growth` and `pruning` exclude each other"):
        LightningSparsity(growth=GrowthSchedule(0.1, 1), pruning=GradualPruning(0.5))
    with pytest.raises(ArgumentError, match="`network`='net' is not a part of _Lit; it has model"):
        _trainer(tmp_path, 1, LightningSparsity(plan, network="net")).fit(_Lit(make()), loader)
    callback = LightningSparsity(growth=GrowthSchedule(0.1, 1))
    trainer = type("Two", (), {"world_size": 2})()
    with pytest.raises(ArgumentError, match="need one process, and this trainer has 2"):
        callback.setup(trainer, _Lit(make()), "fit")
