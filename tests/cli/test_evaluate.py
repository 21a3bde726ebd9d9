"""`openwork eval`: what it prints is what `evaluate` finds."""

from pathlib import Path

from PIL import Image
from typer.testing import CliRunner

import openwork as ow
from openwork.cli.app import app


def test_the_numbers_are_those_of_the_network(tmp_path: Path) -> None:
    for label, shade in (("dark", 20), ("light", 220)):
        (tmp_path / "images" / label).mkdir(parents=True)
        for index in range(5):
            Image.new("L", (4, 4), shade + index).save(tmp_path / "images" / label / f"{index}.png")
    data = f"folder:{tmp_path / 'images'}"
    model = ow.models.build("mlp:16-2", num_classes=2, in_channels=1, image_size=4)
    ow.save(model, tmp_path / "model.safetensors", metrics={"data": data})
    result = CliRunner().invoke(app, ["eval", str(tmp_path)], catch_exceptions=False)
    expected = ow.train.evaluate(model, ow.data.load(data, image_size=4))
    assert expected.count == 2
    assert f"{expected.accuracy:.2%}" in result.stdout
    assert f"{expected.loss:.4f}" in result.stdout
    assert "live parameters" in result.stdout
    assert f" {16 * 2 + 2} " in result.stdout.replace("\n", " ")
