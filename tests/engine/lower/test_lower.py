"""What becomes a node of the engine and what is left to torch, beside what torch computes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from lowering import Do
from torch import nn

import openwork as ow
from openwork.engine import CompiledModel

# Each a fallback between two native layers, some of a view.
FALLBACKS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "unknown": lambda x: torch.sin(x) + 1,
    "of a view": lambda x: torch.cumsum(x.flatten(1), 1).view_as(x).relu(),
    "of a transposed view": lambda x: x.view(-1, 2, 2, 48).transpose(1, 2).sin().reshape(x.shape),
    "reversed batch": lambda x: x.flip(0),
    "batch in channels": lambda x: x.reshape(x.shape[0] * 2, 2, 6, 8).relu().reshape(x.shape),
    "in double": lambda x: (x.double() * 2).float(),
    "whole numbers": lambda x: x.argmax(1),
}


@pytest.mark.parametrize("name", FALLBACKS)
def test_fallbacks(name: str, build: Callable[..., CompiledModel]) -> None:
    compiled = build(Do(FALLBACKS[name]), torch.randn(2, 4, 6, 8))
    assert compiled.difference < 1e-6
    assert all(note.startswith("left to torch, ") for note in compiled.layers.notes)
    assert compiled.layers.notes


_FAR = 1025  # more than the kernels take of a kernel, stride, padding or dilation
_WIDE = (1 << 20) + 1


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(1, 1, (1, _FAR)), (1, 1, 1, _FAR)),
        (nn.Conv2d(1, 1, 1, stride=_FAR), (1, 1, 2, 2)),
        (nn.Conv2d(1, 1, 1, padding=(0, _FAR)), (1, 1, 1, 2)),
        (nn.Conv2d(1, 1, (1, 2), dilation=_FAR), (1, 1, 1, _FAR + 2)),
        (nn.Conv2d(1, 1, 1), (1, 1, 1, _WIDE)),
        (nn.Linear(_WIDE, 1), (1, _WIDE)),
        (nn.Linear(1, _WIDE), (1, 1)),
        (nn.MaxPool2d((1, 2)), (1, 1, 1, _WIDE)),
        (nn.AvgPool2d((1, _FAR)), (1, 1, 1, _FAR)),
        (nn.AdaptiveAvgPool2d((1, 2)), (1, 1, 1, 2 * _FAR)),
    ],
    ids=str,
)
def test_beyond_the_kernels_bounds_torch_runs(
    layer: nn.Module, shape: tuple[int, ...], tmp_path: Path, build: Callable[..., CompiledModel]
) -> None:
    example = torch.randn(shape)
    compiled = build(layer, example, ("f32-*", "torch"))
    assert list(compiled.layers.column("kernel")) == ["torch"] * len(compiled.layers.rows)
    assert bool(compiled.layers.rows) != bool(compiled.layers.notes)
    ow.save(compiled, tmp_path / "file")
    assert torch.equal(ow.load(tmp_path / "file")(example), compiled(example))


def test_weights_that_depend_on_no_input_are_computed_once(
    build: Callable[..., CompiledModel],
) -> None:
    class Standardised(nn.Conv2d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return F.conv2d(input, weight / weight.std((1, 2, 3), keepdim=True), self.bias)

    compiled = build(nn.Sequential(Standardised(3, 4, 3), nn.ReLU()), torch.randn(2, 3, 6, 6))
    assert compiled.layers.notes == ()
