"""Quantised networks: what becomes a step of bytes, and what stays float32 and why."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import openwork as ow
from openwork.capture.qdq import DEQUANTIZE, DEQUANTIZE_CHANNELS, QUANTIZE
from openwork.engine import CompiledModel
from openwork.errors import CheckpointError
from openwork.kernels.narrow.pack_bytes import ByteProblem, pack_bytes
from openwork.kernels.native import extension as _C
from openwork.runtime import load, pack
from openwork.runtime.nodes import quantised

Build = Callable[..., CompiledModel]


def qdq(
    x: torch.Tensor, scale: float = 0.05, zero: int = 100, signed: bool = False
) -> torch.Tensor:
    low, kind = (-128, torch.int8) if signed else (0, torch.uint8)
    form = (scale, zero + low, low, low + 255, kind)
    return DEQUANTIZE(QUANTIZE(x, *form), *form)


class Layer(nn.Module):
    """A convolution, or a linear layer if `kernel` is 0, whose weight is int8."""

    def __init__(self, inputs: int, out: int, kernel: int, groups: int = 1, zero: int = 0) -> None:
        super().__init__()
        shape = (out, inputs // groups, *[kernel] * 2) if kernel else (out, inputs)
        numbers = torch.randint(-127, 128, shape, dtype=torch.int8)
        numbers[torch.rand(shape) < 0.3] = 0
        self.register_buffer("numbers", numbers)
        self.register_buffer("scale", torch.rand(out) * 0.01 + 0.001)
        self.register_buffer("zero", torch.full((out,), zero))
        self.bias = nn.Parameter(torch.randn(out))
        self.kernel, self.groups = kernel, groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        held = self.numbers, self.scale, self.zero
        weight = DEQUANTIZE_CHANNELS(*held, 0, -127, 127, torch.int8)
        if not self.kernel:
            return F.linear(x, weight, self.bias)
        return F.conv2d(x, weight, self.bias, padding=self.kernel // 2, groups=self.groups)


class Net(nn.Module):
    """All that stays in bytes between layers."""

    def __init__(self, signed: bool = False) -> None:
        super().__init__()
        self.a, self.b, self.c = Layer(3, 8, 3), Layer(8, 8, 1), Layer(8, 8, 3, groups=8)
        self.d = Layer(16, 5, 0)
        self.signed = signed

    def q(self, x: torch.Tensor, scale: float = 0.05, zero: int = 100) -> torch.Tensor:
        return qdq(x, scale, zero, self.signed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.q(x, 0.02, 128)
        x = self.q(F.relu(self.a(x)), 0.05, 0)
        x = self.q(F.max_pool2d(x, 3, 2, 1), 0.05, 0)
        y = self.q(F.relu6(self.c(x)), 0.03, 0)
        x = self.q(F.relu(self.b(y) + x), 0.07, 0)
        z = self.q(x + y, 0.06, 10)
        x = torch.cat([x, self.q(self.b(z), 0.07, 0)], 1)
        return self.d(self.q(x.mean((2, 3)), 0.04, 20).flatten(1))


def kinds(compiled: CompiledModel, x: torch.Tensor) -> list[str]:
    return ["layer" if kind.startswith("int8-") else kind for _, kind, _ in compiled.step_times(x)]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("images", [1, 2])
def test_a_network_stays_in_bytes(build: Build, signed: bool, images: int) -> None:
    model, x = Net(signed), torch.randn(images, 3, 16, 16)
    compiled = build(model, x)
    wanted = ["quantize", "layer", "bytepool", *["layer"] * 2, "byteadd", "layer"]
    assert kinds(compiled, x) == [*wanted, "concat", "bytemean", "layer"]
    assert not compiled.layers.notes
    assert compiled.difference < 1e-5


def test_each_layer_is_packed_once(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[tuple[int, ...]] = []

    def pack(problem: ByteProblem, isa: str) -> Any:
        packed.append(problem.weight.shape)
        return pack_bytes(problem, isa)

    monkeypatch.setattr(quantised, "pack_bytes", pack)
    build(Net(), torch.randn(2, 3, 16, 16))
    # Steps alone and the whole program share it; `b` runs twice, as two layers.
    assert len(packed) == 5


def test_files_hold_it_also_packed(build: Build, tmp_path: Path) -> None:
    model, x = Net(), torch.randn(2, 3, 16, 16)
    compiled = build(model, x)
    path = tmp_path / "net.ow"
    ow.save(compiled, path)
    restored, runs = ow.load(path), load(path)
    assert isinstance(restored, CompiledModel)
    assert torch.equal(restored(x), compiled(x))
    assert torch.equal(torch.from_numpy(runs(x.numpy())), compiled(x))
    assert restored.layers.rows == compiled.layers.rows
    assert [name for name, _ in runs.kernels] == compiled.layers.column("layer")
    for isa in _C.usable_isas():
        pack(path, tmp_path / "packed.ow", isa=isa)
        for threads in (1, 2):
            mapped = load(tmp_path / "packed.ow", threads=threads)
            assert torch.equal(torch.from_numpy(mapped(x.numpy())), compiled(x))
        assert [name for name, _ in mapped.kernels] == compiled.layers.column("layer")
    ow.save(compiled, tmp_path / "saved.ow", packed=True)
    assert (tmp_path / "saved.ow").read_bytes() == (tmp_path / "packed.ow").read_bytes()
    pack(path, tmp_path / "neon.ow", isa="neon")
    if "neon" not in _C.usable_isas():
        with pytest.raises(CheckpointError, match="for the instruction set 'neon', and this"):
            load(tmp_path / "neon.ow")


class One(nn.Module):
    """One layer between what `before` and `after` do."""

    def __init__(
        self,
        layer: nn.Module,
        before: Callable[[torch.Tensor], torch.Tensor] = qdq,
        after: Callable[[torch.Tensor], torch.Tensor] = qdq,
    ) -> None:
        super().__init__()
        self.layer, self.before, self.after = layer, before, after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.layer(self.before(x)))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (One(nn.Conv2d(8, 8, 3)), "layer stayed float32 because its weight is not symmetric int8"),
        (
            One(Layer(8, 8, 3, zero=3)),
            "layer stayed float32 because its weight is not symmetric int8",
        ),
        (
            One(Layer(8, 8, 1), lambda x: x),
            "layer stayed float32 because its input is not in bytes",
        ),
        (
            One(Layer(8, 8, 3), lambda x: F.avg_pool2d(qdq(x), 2)),
            "layer stayed float32 because its input is not in bytes",
        ),
    ],
)
def test_what_stays_float32_is_named(build: Build, network: nn.Module, reason: str) -> None:
    compiled = build(network, torch.randn(2, 8, 8, 8), tolerance=1e-3)
    assert compiled.layers.notes == (reason,)


@pytest.mark.parametrize(
    ("network", "wanted"),
    [
        # Nothing reads what lies between, but the activation is none of bytes.
        (One(Layer(8, 8, 1), after=lambda x: qdq(F.silu(x))), ["layer", "add", "quantize"]),
        # Two read it.
        (One(Layer(8, 8, 1), after=lambda x: qdq(x) + x), ["layer", "quantize"]),
        (One(nn.Identity(), after=lambda x: qdq(x, 0.5)), ["dequantize", "quantize"]),
        (One(nn.MaxPool2d(2), after=lambda x: x), ["bytepool", "dequantize"]),
    ],
)
def test_what_cannot_be_joined_is_still_right(
    build: Build, network: nn.Module, wanted: list[str]
) -> None:
    x = torch.randn(2, 8, 6, 6)
    compiled = build(network, x)
    assert kinds(compiled, x)[1 : 1 + len(wanted)] == wanted


def test_bytes_that_are_read_as_whole_numbers_are_left_to_torch(build: Build) -> None:
    class Reads(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return QUANTIZE(x, 0.1, 0, 0, 255, torch.uint8).float().relu()

    x = torch.randn(2, 8, 4, 4)
    compiled = build(Reads(), x)
    assert torch.equal(compiled(x), Reads()(x))
    assert any("its whole numbers are read" in note for note in compiled.layers.notes)
