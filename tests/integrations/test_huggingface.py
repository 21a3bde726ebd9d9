"""The callback inside a real Trainer of Hugging Face."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import openwork as ow
from openwork.errors import ArgumentError
from openwork.integrations import GradualPruning
from openwork.nn import Plan
from openwork.nn.layers import sparse_layers
from openwork.train import GrowthSchedule

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("accelerate")
    transformers: Any = pytest.importorskip("transformers")
    from openwork.integrations.huggingface import HuggingFaceSparsity

Make = Callable[[], nn.Sequential]
Images = tuple[torch.Tensor, torch.Tensor]


class _Classifier(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(
        self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        logits = self.model(pixel_values)
        if labels is None:
            return {"logits": logits}
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _trainer(
    model: nn.Module, images: Images, out: Path, epochs: int, callback: Any, **more: Any
) -> Any:
    pairs = zip(*images, strict=True)
    settings = transformers.TrainingArguments(
        output_dir=str(out),
        num_train_epochs=epochs,
        per_device_train_batch_size=6,
        learning_rate=1e-2,
        lr_scheduler_type="constant",
        use_cpu=True,
        report_to=[],
        save_strategy="epoch",
        disable_tqdm=True,
        logging_strategy="no",
        **more,
    )
    return transformers.Trainer(
        model,
        settings,
        train_dataset=[{"pixel_values": image, "labels": label} for image, label in pairs],
        callbacks=[callback],
    )


def _densities(model: nn.Module) -> list[float]:
    return [layer.pattern.density for layer in sparse_layers(model).values()]


def test_it_sparsifies_observes_and_compacts(
    make: Make, plan: Plan, images: Images, tmp_path: Path
) -> None:
    model = _Classifier(make())
    with torch.no_grad():
        model.model[4].weight[:2] = 0
        model.model[4].bias[:2] = 0
        model.model[4].requires_grad_(False)
    callback: Any = HuggingFaceSparsity(
        plan, history=tmp_path / "sparsity.csv", compact_to=tmp_path / "small.st"
    )
    _trainer(model, images, tmp_path / "out", 2, callback).train()
    assert _densities(model) == [0.25, 0.25]
    assert [row.epoch for row in callback.history.epochs] == [1, 2]
    assert callback.history.epochs[-1].dead["model.4"] == 2
    small: Any = ow.load(tmp_path / "small.st", lambda: _Classifier(make())).eval()
    assert small.model[4].num_features == 6
    before, after = callback.report.parameters
    assert after < before
    wanted = model.eval()(images[0])["logits"]
    torch.testing.assert_close(small(images[0])["logits"], wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("how", ["growth", "pruning"])
def test_a_checkpoint_continues_after_the_network_has_changed(
    make: Make, plan: Plan, images: Images, tmp_path: Path, how: str
) -> None:
    def callback() -> HuggingFaceSparsity:
        if how == "growth":
            return HuggingFaceSparsity(plan, growth=GrowthSchedule(start=0.25, every=5))
        pruning = GradualPruning(0.75, steps=3, begin=1, every=4, recalibrate=2)
        return HuggingFaceSparsity(pruning=pruning)

    whole, again = _Classifier(make()), _Classifier(make())
    _trainer(whole, images, tmp_path / "whole", 3, callback()).train()
    # Four steps an epoch.
    checkpoint = tmp_path / "whole" / "checkpoint-8"
    trainer = _trainer(again, images, tmp_path / "again", 3, callback())
    trainer.train(resume_from_checkpoint=str(checkpoint))
    expected, found = whole.state_dict(), again.state_dict()
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        torch.testing.assert_close(value, found[name])


def test_several_processes_are_refused_where_sizes_change() -> None:
    callback = HuggingFaceSparsity(growth=GrowthSchedule(0.1, 1))
    with pytest.raises(ArgumentError, match="need one process, and this Trainer has 2"):
        callback.on_init_end(type("Two", (), {"world_size": 2})(), None, None, model=nn.ReLU())
