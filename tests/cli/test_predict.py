"""`openwork predict`, as a person runs it."""

from pathlib import Path

import pytest
import torch
from compiled_fixtures import own_cache as own_cache
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import openwork as ow
from openwork.cli.app import app


def test_images_get_rows_and_a_bad_one_a_line_and_a_status(
    tmp_path: Path, own_cache: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    compiled = ow.compile(model, torch.randn(1, 3, 8, 8), kernels={"*": "f32*"})
    ow.save(compiled, "fast.ow", metrics={"mean": [0.5] * 3, "std": [0.25] * 3})
    Path("images").mkdir()
    for number in range(3):
        Image.new("RGB", (12, 10), (80 * number, 0, 0)).save(f"images/{number}.jpg")
    good = CliRunner().invoke(app, ["predict", "fast.ow", "images", "--csv", "out.csv"])
    assert good.exit_code == 0, good.output
    assert "3 images in " in good.stdout
    assert " per second, pixels as in the training: out.csv" in good.stdout
    assert len(Path("out.csv").read_text().splitlines()) == 4
    Path("images/3.jpg").write_bytes(b"")
    bad = CliRunner().invoke(app, ["predict", "fast.ow", "images", "--mean", "0", "--std", "1"])
    assert bad.exit_code == 1
    assert "images/3.jpg: the image cannot be read" in bad.stderr
    assert "1 image could not be read" in bad.stderr
    assert len(Path("predictions.csv").read_text().splitlines()) == 4
