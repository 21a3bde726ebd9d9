"""A network in a file whose class is the strongest of three colours, and pictures of one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from compiled_fixtures import own_cache as own_cache
from PIL import Image
from torch import nn

import openwork as ow
from openwork.engine import compile

COLOURS = ("red", "green", "blue")


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Write the network; `metrics` go into the file."""

    def write(metrics: dict[str, Any], head: nn.Module | None = None) -> Path:
        first = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            first.weight.copy_(torch.eye(3)[:, :, None, None])
        tail = head or nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        model = nn.Sequential(first, tail)
        path = tmp_path / "fast.safetensors"
        example = torch.randn(1, 3, 4, 6)
        ow.save(compile(model, example, kernels={"*": "f32*"}), path, metrics=metrics)
        return path

    return write


@pytest.fixture
def network(save: Callable[..., Path]) -> Path:
    """The network with the names of the colours and a normalisation that changes nothing."""
    return save({"classes": list(COLOURS), "mean": [0.0] * 3, "std": [1.0] * 3})


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder: six pictures in two folders, a hidden one and a text."""
    folder = tmp_path / "images"
    for part in ("a", "b"):
        (folder / part).mkdir(parents=True)
        for colour in COLOURS:
            Image.new("RGB", (9, 7), colour).save(folder / part / f"{colour}.png")
    Image.new("RGB", (9, 7)).save(folder / ".hidden.png")
    (folder / "notes.txt").write_text("no picture")
    return folder
