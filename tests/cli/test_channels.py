"""`openwork observe`, `openwork compact` and `openwork sensitivity`."""

import contextlib
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import openwork as ow
from openwork.cli.app import app


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder whose network has dead channels."""
    for shade in (20, 220):
        folder = tmp_path / "images" / str(shade)
        folder.mkdir(parents=True)
        for index in range(4):
            Image.new("L", (16, 16), shade + index).save(folder / f"{index}.png")
    torch.manual_seed(0)
    model = ow.models.build("vgg-small", in_channels=1, num_classes=2, image_size=16)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.weight.data[:5])
    folder = tmp_path / "run"
    folder.mkdir()
    metrics = {"data": f"folder:{tmp_path / 'images'}"}
    ow.save(model.eval(), folder / "model.safetensors", metrics=metrics)
    return folder


def test_observe_prints_the_report(run: Path) -> None:
    picture = run / "o.png"
    command = ["observe", str(run), "--picture", str(picture)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "dead by activation" in result.stdout
    assert picture.exists()
    # What was seen is in the page about the run.
    result = CliRunner().invoke(app, ["report", str(run)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "Channels, over the training images" in (run / "report.html").read_text()


def test_compact_saves_a_smaller_network_that_loads(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    command = ["compact", str(run), "--out", str(out)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "parameters:" in result.stdout
    before, after = ow.load(run / "model.safetensors").eval(), ow.load(out / "model.safetensors")
    x = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(after.eval()(x), before(x), rtol=0, atol=1e-5)
    assert sum(p.numel() for p in after.parameters()) < sum(p.numel() for p in before.parameters())
    metrics = ow.info(out / "model.safetensors").metrics
    assert metrics.pop("by")["command"] == "compact"
    assert metrics == ow.info(run / "model.safetensors").metrics
    # Again it may be made, but nothing else may be written over it.
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    for command in (["compact", str(out), "--out", str(run)], ["compact", str(run), "--out", "."]):
        with (
            contextlib.chdir(run),
            pytest.raises(ow.ArgumentError, match=r"`out`=.*hoose another folder"),
        ):
            CliRunner().invoke(app, command, catch_exceptions=False)


def test_a_path_is_printed_as_it_is(run: Path, tmp_path: Path) -> None:
    command = ["compact", str(run), "--out", str(tmp_path / "r[/sparse]")]
    assert "r[/sparse]" in CliRunner().invoke(app, command, catch_exceptions=False).stdout


def test_compact_with_small_scales_tells_the_accuracy(run: Path, tmp_path: Path) -> None:
    command = ["compact", str(run), "--out", str(tmp_path / "small"), "--gamma-below", "0.001"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    # All small scales are zero, so both find the same classes.
    data = ow.data.load(f"folder:{tmp_path / 'images'}", image_size=16)
    accuracy = ow.train.evaluate(ow.load(run / "model.safetensors"), data).accuracy
    assert f"evaluated: {accuracy:.6g} -> {accuracy:.6g} (+0)" in result.stdout
    metrics = ow.info(tmp_path / "small" / "model.safetensors").metrics
    del metrics["by"]
    assert metrics == {"data": f"folder:{tmp_path / 'images'}", "test_accuracy": accuracy}


def test_compact_removes_what_training_has_yet_to_use_on_request(tmp_path: Path) -> None:
    model = ow.models.build("resnet32", in_channels=1, num_classes=2, image_size=16)
    for name, module in model.named_modules():
        if name.endswith("2") and isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.weight)
    ow.save(model.eval(), tmp_path / "model.safetensors")
    command = ["compact", str(tmp_path), "--out", str(tmp_path / "small")]
    with pytest.raises(ow.ArgumentError, match=r"has not been trained: .*allow_untrained=True"):
        CliRunner().invoke(app, command, catch_exceptions=False)
    result = CliRunner().invoke(app, [*command, "--allow-untrained"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "training the copy will not bring it back" in " ".join(result.stdout.split())


def test_a_model_of_ones_own_is_sent_to_python(tmp_path: Path) -> None:
    ow.save(nn.Sequential(nn.Conv2d(1, 1, 1)), tmp_path / "model.safetensors")
    for command in (["observe", str(tmp_path)], ["compact", str(tmp_path), "--out", str(tmp_path)]):
        with pytest.raises(ow.ArgumentError, match="from Python"):
            CliRunner().invoke(app, command, catch_exceptions=False)


def test_sensitivity_leaves_a_table_a_picture_and_a_plan(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "sensitivity"
    command = ["sensitivity", str(run), "--out", str(out), "--held-out", "0.5", "--recalibrate"]
    command += ["--ratio", "0.5", "--loss", "1", "--granularity", "feature_map"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "without a cut" in result.stdout
    assert {path.name for path in out.iterdir()} == {
        "plan.yaml",
        "sensitivity.json",
        "sensitivity.png",
    }
    model = ow.load(run / "model.safetensors")
    assert ow.prune.apply_(model, ow.Plan.from_yaml(out / "plan.yaml")) is model
