"""The demo trains both networks, saves them, and resumes where it was stopped."""

import dataclasses
import json
from pathlib import Path

import pytest

import openwork as ow
from openwork import demo as demo_module
from openwork.data import DataSet, Split


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    full = ow.data.load("mnist-subset")

    def first(split: Split, count: int) -> Split:
        return Split(split.images[:count], split.labels[:count])

    def load(name: str) -> DataSet:
        return dataclasses.replace(
            full, name=name, train=first(full.train, 256), test=first(full.test, 100)
        )

    monkeypatch.setattr(demo_module.data, "load", load)


@pytest.mark.usefixtures("few_images")
def test_the_demo_compares_a_network_with_its_sparse_twin(tmp_path: Path) -> None:
    recipe = dataclasses.replace(demo_module.RECIPE, epochs=1)
    comparison = demo_module.demo(tmp_path / "demo", recipe=recipe, progress=False)
    assert comparison.sparse.parameters < 0.15 * comparison.dense.parameters
    assert comparison.sparse.macs < 0.11 * comparison.dense.macs
    written = json.loads((tmp_path / "demo" / "comparison.json").read_text())
    assert written["sparse"]["parameters"] == comparison.sparse.parameters
    saved = ow.load(tmp_path / "demo" / "sparse" / "model.safetensors")
    dense = ow.models.build(demo_module.MODEL, in_channels=1, image_size=28)
    planned = demo_module.PLAN.resolve(dense)
    assert ow.Plan.of(saved).resolve(dense) == {n: p for n, p in planned.items() if p.density < 1}

    again = demo_module.demo(tmp_path / "demo", recipe=recipe, progress=False)
    assert again.sparse.accuracy == comparison.sparse.accuracy
    with pytest.raises(ow.CheckpointError, match="another recipe"):
        demo_module.demo(
            tmp_path / "demo", recipe=dataclasses.replace(recipe, seed=1), progress=False
        )


@pytest.mark.usefixtures("few_images")
def test_the_demo_takes_a_plan_of_ones_own(tmp_path: Path) -> None:
    recipe = dataclasses.replace(demo_module.RECIPE, epochs=1)
    plan = ow.Plan({"features.17": {"pattern": "ssc", "groups": 4, "taps": 1}})
    comparison = demo_module.demo(tmp_path, recipe=recipe, plan=plan, progress=False)
    spared = 128 * 128 * 9 - 128 * 32
    assert comparison.dense.parameters - comparison.sparse.parameters == spared
    with pytest.raises(ow.CheckpointError, match="another plan"):
        demo_module.demo(tmp_path, recipe=recipe, progress=False)
