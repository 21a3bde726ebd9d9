"""Every operator that becomes a node of the engine, beside what torch computes."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import openwork as ow
from openwork.engine import CompiledModel


class Do(nn.Module):
    """A function as a module, between two layers so that it lies in the middle of a program."""

    def __init__(self, body: Callable[..., Any], channels: int = 4) -> None:
        super().__init__()
        self.before = nn.Conv2d(channels, channels, 1)
        self._body = body

    def forward(self, x: torch.Tensor) -> Any:
        return self._body(self.before(x))


def _runs_alone(compiled: CompiledModel) -> None:
    assert compiled.layers.notes == ()


ACTIVATIONS = [F.relu, F.relu6, F.silu, F.hardswish, torch.sigmoid, F.hardsigmoid]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("kernels", ["torch", "*-taps-*", "*-spmm-*"])
def test_activations(
    activation: Callable[..., torch.Tensor], kernels: str, build: Callable[..., CompiledModel]
) -> None:
    def body(x: torch.Tensor) -> torch.Tensor:
        joined = activation(x * 4)
        return activation(F.max_pool2d(joined, 2)) + joined.mean((2, 3), keepdim=True).mean()

    model = Do(lambda x: activation(activation(x * 4) * 3 - 2))
    compiled = build(model, 3 * torch.randn(2, 4, 5, 7), kernels)
    assert compiled.difference < 1e-6


POOLS = [
    (kind, {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil})
    for kind, (kernel, padding), stride, ceil in itertools.product(
        ("max", "average", "inside"),
        [(2, 0), (3, 1), ((3, 2), (1, 0)), ((1, 5), (0, 2)), (4, 2)],
        (None, 1, 2, 3, (2, 1)),
        (False, True),
    )
]
# Below, at and above one vector of 16 floats; odd; the smallest that every window fits.
MAPS = [(4, 5), (5, 16), (7, 17), (6, 33), (5, 67)]


def _pools(stage: slice) -> Callable[[torch.Tensor], tuple[torch.Tensor, ...]]:
    def body(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        results = []
        for kind, options in POOLS[stage]:
            if kind == "max":
                results.append(F.max_pool2d(x, **options))
            else:
                results.append(F.avg_pool2d(x, **options, count_include_pad=kind == "average"))
        return tuple(results)

    return body


@pytest.mark.parametrize("size", MAPS, ids=str)
def test_pools(size: tuple[int, int], build: Callable[..., CompiledModel]) -> None:
    for start in range(0, len(POOLS), 50):
        compiled = build(Do(_pools(slice(start, start + 50)), 2), torch.randn(2, 2, *size))
        _runs_alone(compiled)
        assert compiled.difference < 1e-5


def test_a_pool_over_a_map_wider_than_its_line(build: Callable[..., CompiledModel]) -> None:
    def body(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return F.max_pool2d(x, 3, 2, 1), F.avg_pool2d(x, (1, 4), 1), F.max_pool2d(x, (1, 9), 4)

    compiled = build(Do(body, 1), torch.randn(1, 1, 3, 9001), "torch")
    _runs_alone(compiled)


def test_the_smallest_maps(build: Callable[..., CompiledModel]) -> None:
    def body(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return F.max_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 1, 1), x.mean((2, 3)), x.flatten(1)

    compiled = build(Do(body), torch.randn(2, 4, 1, 1))
    _runs_alone(compiled)


BODIES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "global mean": lambda x: F.adaptive_avg_pool2d(x, 1),
    "mean": lambda x: x.mean((-1, -2)),
    "mean kept": lambda x: x.mean([2, 3], keepdim=True),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, (3, 2)),
    "adaptive to itself": lambda x: F.adaptive_avg_pool2d(x, (x.shape[2], x.shape[3])),
    "flatten": lambda x: x.flatten(1),
    "view": lambda x: x.view(x.shape[0], 2, 2, 6, 8).reshape(x.shape[0], -1, 8),
    "squeeze": lambda x: x.mean((2, 3), keepdim=True).squeeze(3).squeeze(2).unsqueeze(1),
    "cat": lambda x: torch.cat([x, x.relu(), x], 1),
    "cat from the end": lambda x: torch.cat([x, 2 * x], -3),
    "cat of features": lambda x: torch.cat([x.flatten(1), x.mean((2, 3))], 1),
    "cat of views": lambda x: torch.cat([x.view(-1, 8, 3, 8), x.view(-1, 8, 3, 8)], 1),
    "pad channels": lambda x: F.pad(x, (0, 0, 0, 0, 2, 3)),
    "pad channels behind": lambda x: F.pad(x, (0, 0, 0, 0, 0, 3)),
    "pad channels twice": lambda x: torch.cat(
        [F.max_pool2d(F.pad(x, (0, 0, 0, 0, *zeros)), 2) for zeros in ((1, 0), (2, 1))], 1
    ),
    "chunk": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    "split": lambda x: torch.cat([x.split([1, 3], 1)[1], x.split(3, 1)[0]], 1),
    "slice": lambda x: x[:, 1:3] + x[:, -2:],
    "gate": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "gate first": lambda x: F.adaptive_avg_pool2d(x, 1).sigmoid() * x,
    "gate expanded": lambda x: x * x.mean((2, 3), keepdim=True).expand_as(x),
    "gate of one pixel": lambda x: F.adaptive_avg_pool2d(x, 1) * F.adaptive_avg_pool2d(x, 1),
    "numbers": lambda x: (x * 3 + 1) * 0.5 + 2,
    "differences": lambda x: 2 - (1 - (x - 3)) / 4,
    "standardised": lambda x: (x - torch.arange(4.0).view(4, 1, 1)) / torch.full((1, 4, 1, 1), 3.0),
    "difference from a constant": lambda x: torch.arange(4.0).view(4, 1, 1) - x,
    "numbers that numpy lacks": lambda x: x * torch.arange(4.0).bfloat16().view(4, 1, 1),
    "doubled": lambda x: x + x,
    "dropout": lambda x: F.dropout(x, training=False),
    "dropout of maps": lambda x: F.dropout2d(x, training=False),
    "clone": lambda x: x.clone().contiguous(),
}


@pytest.mark.parametrize("name", BODIES)
def test_operators(name: str, build: Callable[..., CompiledModel]) -> None:
    compiled = build(Do(BODIES[name]), torch.randn(2, 4, 6, 8))
    _runs_alone(compiled)
    assert compiled.difference < 1e-6


# Each as a fallback between native steps, and on a view where that matters.
ISLANDS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "unknown": lambda x: F.gelu(x) + 1,
    "of a view": lambda x: F.softmax(x.flatten(1), 1).view_as(x).relu(),
    "of a transposed view": lambda x: x.view(-1, 2, 2, 6, 8).transpose(1, 2).reshape(x.shape) + x,
    "tuple": lambda x: torch.cat([p + 1 for p in x.chunk(2, 3)], 3) + x,
    "item of many": lambda x: x.flatten(1).topk(3).values,
    "sum of other shapes": lambda x: x + x.mean((2, 3), keepdim=True),
    "product of maps": lambda x: x * x.sigmoid(),
    "difference of maps": lambda x: x - x.relu(),
    "scaled difference": lambda x: torch.sub(x, 1.0, alpha=2),
    "division by zero": lambda x: torch.nan_to_num(x / 0.0),
    "division by maps": lambda x: torch.ones(4, 1, 1) / (x.abs() + 1),
    "product of gates": lambda x: (
        F.adaptive_avg_pool2d(x, 1).expand_as(x) * x.amax((2, 3), keepdim=True).expand_as(x)
    ),
    "product of gates, one stretched": lambda x: (
        F.adaptive_avg_pool2d(x, 1).expand(-1, -1, 6, 8) * x.amax((2, 3), keepdim=True)
    ),
    "complex": lambda x: (x * 1j).imag,
    "unequal windows": lambda x: F.adaptive_avg_pool2d(x, 5),
    "divisor": lambda x: F.avg_pool2d(x, 2, divisor_override=3),
    "dilated pool": lambda x: F.max_pool2d(x, 2, dilation=2),
    "padded maps": lambda x: F.pad(x, (1, 2, 0, 1)),
    "filled padding": lambda x: F.pad(x, (0, 0, 0, 0, 1, 1), value=2.0),
    "mean of channels": lambda x: x.mean(1),
    "mean of all": lambda x: x.mean((1, 2, 3)),
    "scaled sum": lambda x: torch.add(x, x.relu(), alpha=2),
    "cat of rows": lambda x: torch.cat([x, x], 2),
    "every second channel": lambda x: x[:, ::2] * 1.0,
    "reversed batch": lambda x: x.flip(0),
    "batch in channels": lambda x: x.reshape(x.shape[0] * 2, 2, 6, 8).relu().reshape(x.shape),
    "in double": lambda x: (x.double() * 2).float(),
    "whole numbers": lambda x: x.argmax(1),
    "clamped": lambda x: F.hardtanh(x, -0.5, 0.5),
}


@pytest.mark.parametrize("name", ISLANDS)
def test_islands(name: str, build: Callable[..., CompiledModel]) -> None:
    compiled = build(Do(ISLANDS[name]), torch.randn(2, 4, 6, 8))
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

    _runs_alone(build(nn.Sequential(Standardised(3, 4, 3), nn.ReLU()), torch.randn(2, 3, 6, 6)))


def test_weights_that_depend_on_the_input_stay_with_torch(
    build: Callable[..., CompiledModel],
) -> None:
    model = Do(lambda x: F.conv2d(x, x.mean() * torch.ones(4, 4, 1, 1)))
    compiled = build(model, torch.randn(2, 4, 6, 8))
    assert "computed from the input" in str(compiled.layers.notes)


@pytest.mark.parametrize("kernel", [3, 5, (1, 7)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_named_padding(kernel: int, padding: str, build: Callable[..., CompiledModel]) -> None:
    _runs_alone(build(nn.Conv2d(3, 4, kernel, padding=padding), torch.randn(2, 3, 9, 9)))
