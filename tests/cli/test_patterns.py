"""Every pattern by its name, in a plan file, from the command line."""

from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

import openwork as ow
from openwork.cli.app import app
from openwork.patterns import KINDS

# vgg-small has convolutions of 32, 32, 64, 64, 128 and 128 filters.
LAYERS = {
    "features.0": {"pattern": "random", "density": 0.34},
    "features.3": {"pattern": "structured", "fan_out": 4},
    "features.7": {"pattern": "clash_free", "density": 0.125, "z": 8, "type": 2, "dither": True},
    "features.10": {"pattern": "ssc", "groups": 2, "taps": 1, "order": "rotating"},
    "features.14": {"pattern": "grouped", "groups": 4},
    "features.17": {"pattern": "block", "density": 0.1, "b_out": 8},
    "classifier.1": "dense",
}
DENSITIES = [1 / 3, 0.125, 0.125, 1 / 18, 0.25, 0.1, 1]


def _kind(rule: str | dict) -> str:
    return rule if isinstance(rule, str) else rule["pattern"]


@pytest.fixture
def plan(tmp_path: Path) -> str:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump({"seed": 1, "layers": LAYERS}))
    return str(path)


def test_the_plan_here_has_every_kind() -> None:
    assert {_kind(rule) for rule in LAYERS.values()} == set(KINDS)


@pytest.mark.parametrize("layer", LAYERS)
def test_preview_takes_each_pattern_by_name(tmp_path: Path, layer: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump({"layers": {layer: LAYERS[layer]}}))
    command = ["preview", "--model", "vgg-small", "--plan", str(path)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    row = next(line.split() for line in result.stdout.splitlines() if f" {layer} " in line)
    expected = DENSITIES[list(LAYERS).index(layer)]
    assert float(row[2]) == pytest.approx(expected, abs=0.02)


def test_a_network_trains_with_all_patterns_at_once(tmp_path: Path, plan: str) -> None:
    for label, shade in (("dark", 20), ("light", 220)):
        folder = tmp_path / "images" / label
        folder.mkdir(parents=True)
        for index in range(8):
            Image.new("L", (16, 16), shade + index).save(folder / f"{index}.png")
    out = tmp_path / "run"
    command = ["train", "--model", "vgg-small", "--data", f"folder:{tmp_path / 'images'}"]
    command += ["--plan", plan, "--out", str(out), "--batch-size", "6", "--epochs", "1"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    dense = ow.models.build("vgg-small", in_channels=1, image_size=16, num_classes=2)
    planned = {n: p for n, p in ow.Plan.from_yaml(plan).resolve(dense).items() if p.density < 1}
    trained = ow.load(out / "model.safetensors")
    assert ow.Plan.of(trained).resolve(dense) == planned
    with torch.no_grad():
        assert trained.eval()(torch.zeros(1, 1, 16, 16)).isfinite().all()


def test_the_demo_takes_a_plan_file(
    tmp_path: Path, plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {}

    def demo(out: Path, **arguments: object) -> None:
        given.update(arguments)
        raise ow.DataError("enough seen")

    monkeypatch.setattr("openwork.cli.demo.run_demo", demo)
    command = ["demo", "--out", str(tmp_path), "--plan", plan]
    with pytest.raises(ow.DataError, match="enough seen"):
        CliRunner().invoke(app, command, catch_exceptions=False)
    assert given["plan"] == ow.Plan.from_yaml(plan)


def test_a_pattern_that_does_not_fit_says_what_would(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text('layers: {"features.7": {pattern: clash_free, density: 0.125, z: 5}}')
    command = ["preview", "--model", "vgg-small", "--plan", str(path)]
    with pytest.raises(ow.PlanError, match=r"layer 'features.7' .*`z`=5 .* nearest: 4 or 8"):
        CliRunner().invoke(app, command, catch_exceptions=False)
