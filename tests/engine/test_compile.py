"""`compile`: the same outputs for every kind of network, and errors where there are none."""

import copy
import gc
import importlib
import weakref
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from parts import known
from torch import nn

import openwork as ow
from openwork.capture import Captured, capture
from openwork.engine import CompiledModel, compile
from openwork.errors import ArgumentError, CaptureError, VerificationError
from openwork.kernels.narrow.pair_tile import has_pairs
from openwork.kernels.native import extension as _C
from openwork.nn import SparseConv2d, SparseLinear
from openwork.patterns import Pattern, block, random

compile_module = importlib.import_module("openwork.engine.compile")
KERNELS = ("torch", "*-taps-*", ("*-direct-*", "*-taps-*"), ("*winograd2*", "*-spmm-*", "*-taps-*"))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.one, self.two = (nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(2))
        self.short = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        y = F.relu(self.norms[0](self.one(x)))
        y = self.norms[1](self.two(y))
        y += self.short(x)
        return self.head(F.adaptive_avg_pool2d(F.relu_(y), 1).flatten(1))


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.expand, self.project = nn.Conv2d(3, 12, 1), nn.Conv2d(12, 3, 1)
        self.depthwise = nn.Conv2d(12, 12, 5, 2, 2, groups=12)
        self.squeeze, self.excite = nn.Conv2d(12, 3, 1), nn.Conv2d(3, 12, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.hardswish(self.depthwise(F.silu(self.expand(x))))
        gates = self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True))))
        return self.project(y * F.hardsigmoid(gates))


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3 + 4 * i, 4, 3, padding=1) for i in range(3))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        for layer in self.layers:
            x = torch.cat([x, layer(x).relu()], 1)
        return {"map": x, "input twice": torch.cat([x, x], 1), "mean": x.mean((2, 3))}


def _sparse(pattern: Pattern, **geometry: Any) -> nn.Module:
    return nn.Sequential(SparseConv2d(pattern, **geometry), nn.BatchNorm2d(8), nn.ReLU6())


def _zeroed() -> nn.Module:
    model = Residual()
    with torch.no_grad():
        for layer in (model.one, model.two, model.short, model.head):
            layer.weight[torch.rand(layer.weight.shape[:2]) < 0.7] = 0
        model.one.weight[3] = 0
    return model


def _ssc() -> nn.Module:
    """Every live kernel has five of nine taps."""
    layer = nn.Conv2d(3, 8, 3, padding=1)
    with torch.no_grad():
        layer.weight.view(8, 3, 9)[:, :, [0, 2, 6, 8]] = 0
    return layer


def _dead() -> nn.Module:
    layer = nn.Conv2d(3, 8, 3, padding=1)
    nn.init.zeros_(layer.weight)
    return nn.Sequential(layer, nn.ReLU(), nn.Conv2d(8, 2, 1, bias=False))


def _classifier() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(243, 20),
        nn.BatchNorm1d(20),
        nn.Hardswish(),
        nn.Dropout(),
        nn.Linear(20, 6, bias=False),
    )


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2)),
    "residual": Residual,
    "gated": Gated,
    "concatenating": Dense,
    "zeroed": _zeroed,
    "taps": _ssc,
    "dead": _dead,
    "classifier": _classifier,
    "grouped": lambda: nn.Conv2d(3, 9, 3, padding=2, groups=3, dilation=2),
    "strided": lambda: nn.Conv2d(3, 8, 3, stride=(2, 1), padding=1),
    "large kernel": lambda: nn.Conv2d(3, 8, (7, 1), padding=(3, 0)),
    "sparse": lambda: _sparse(random(8, 3, 3, 0.4), padding=1),
    "sparse stride": lambda: _sparse(random(8, 3, 5, 0.4), padding=2, stride=2),
    "sparse pointwise": lambda: _sparse(random(8, 3, 1, 0.5)),
    "sparse blocks": lambda: _sparse(block(8, 3, 3, 0.4), padding=1),
    "relu alone": nn.ReLU,
    "norm alone": lambda: nn.BatchNorm2d(3),
    "nothing": nn.Identity,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_outputs_are_the_originals(name: str, build: Callable[..., CompiledModel]) -> None:
    torch.manual_seed(0)
    model = NETWORKS[name]()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(known(module.running_mean))
            nn.init.uniform_(known(module.running_var), 0.5, 2)
    before = copy.deepcopy(model.state_dict())
    for kernels in KERNELS if name not in ("relu alone", "norm alone", "nothing") else KERNELS[:1]:
        compiled = build(model, torch.randn(2, 3, 9, 9), [*_list(kernels), "*-taps-*"])
        assert model.training
        model.eval()
        for batch in (1, 3):
            input = torch.randn(batch, 3, 9, 9)
            with torch.no_grad():
                expected, found = model(input), compiled(input)
            torch.testing.assert_close(found, expected, rtol=0, atol=5e-6)
        model.train()
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def _list(kernels: str | tuple[str, ...]) -> list[str]:
    return [kernels] if isinstance(kernels, str) else list(kernels)


def test_a_sparse_linear_layer(build: Callable[..., CompiledModel]) -> None:
    model = nn.Sequential(SparseLinear(random(30, 40, density=0.2)), nn.SiLU())
    for kernels in KERNELS:
        compiled = build(model, torch.randn(4, 40), [*_list(kernels), "*-taps-*"])
        assert compiled.difference < 1e-6


def test_a_whole_model_of_ours(build: Callable[..., CompiledModel]) -> None:
    model = ow.models.build("resnet32")
    ow.sparsify_(model, ow.Plan({"conv:*": {"pattern": "random", "density": 0.3}}))
    compiled = build(model, torch.randn(1, 3, 32, 32))
    assert compiled.layers.notes == ()
    assert not any(name == "torch" for name in compiled.layers.column("kernel"))


def test_measuring_finds_kernels_and_the_table_says_which() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.Hardshrink())
    compiled = compile(model, torch.randn(1, 3, 8, 8))
    assert compiled.difference < 1e-4
    assert compiled.layers.column("layer") == ["0", "2"]
    assert compiled.layers.column("weight") == ["8x3x3x3", "4x8x1x1"]
    assert all(ms > 0 for ms in compiled.layers.column("ms"))
    assert "aten.hardshrink" in compiled.layers.notes[0]


def test_a_cached_compile_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, example = nn.Conv2d(3, 4, 3), torch.randn(1, 3, 6, 6)
    first = compile(model, example)
    monkeypatch.setattr("openwork.engine.tune.tuner.Tournament", None)
    assert compile(model, example).layers.rows == first.layers.rows


def test_the_copy_keeps_its_weights_when_the_original_trains_on(
    build: Callable[..., CompiledModel],
) -> None:
    class Mixed(Residual):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * F.softplus(self.head.bias + x.mean())

    for kernels in ("torch", "*-taps-*"):
        model = Mixed().eval()
        compiled = build(model, torch.randn(1, 3, 8, 8), kernels)
        input = torch.randn(2, 3, 8, 8)
        before = compiled(input)
        for parameter in model.parameters():
            nn.init.normal_(parameter)
        assert torch.equal(compiled(input), before)


def _reachable(start: object) -> list[object]:
    """All objects that `start` keeps alive, modules and classes left out."""
    seen: dict[int, object] = {}
    todo = [start]
    while todo:
        item = todo.pop()
        if id(item) not in seen and not isinstance(item, type | ModuleType | FunctionType):
            seen[id(item)] = item
            todo += gc.get_referents(item)
    return list(seen.values())


def test_the_captured_program_and_dense_weights_do_not_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    captured = []

    def capturing(*arguments: Any) -> Captured:
        found = capture(*arguments)
        captured.append(weakref.ref(found.program))
        return found

    monkeypatch.setattr(compile_module, "capture", capturing)
    model = nn.Sequential(nn.Conv2d(16, 64, 3, padding=1), nn.Hardshrink(), nn.Conv2d(64, 16, 1))
    with torch.no_grad():
        model.get_parameter("0.weight")[torch.rand(64, 16) < 0.9] = 0
    compiled = compile(model, torch.randn(2, 16, 8, 8), kernels={"*": "*-taps-*"})
    gc.collect()
    assert captured[0]() is None
    sizes = [item.nbytes for item in _reachable(compiled) if isinstance(item, np.ndarray)]
    sizes += [item.nbytes for item in _reachable(compiled) if isinstance(item, torch.Tensor)]
    # A tenth of the weight and its gaps, biases, and the arenas.
    assert max(sizes) < model.get_parameter("0.weight").nbytes
    assert compiled.snapshot.refusal is None


def test_a_wrong_kernel_is_found_out(
    monkeypatch: pytest.MonkeyPatch, build: Callable[..., CompiledModel]
) -> None:
    wrong = _C.Activation.none
    monkeypatch.setattr("openwork.runtime.emission.native_activation", lambda name: wrong)
    model = nn.Sequential(nn.MaxPool2d(2), nn.ReLU())
    with pytest.raises(VerificationError, match=r"differs from the original by .*") as refused:
        build(model, torch.randn(2, 3, 8, 8))
    assert "own outputs" not in str(refused.value)


def test_what_rounding_explains_is_said(build: Callable[..., CompiledModel]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(16, 64, 3), nn.BatchNorm2d(64), nn.Conv2d(64, 8, 5))
    with pytest.raises(VerificationError, match=r"own outputs are off by \d\.\d+e-0[5-8]"):
        build(model, torch.randn(1, 16, 16, 16), tolerance=0.0)


def test_compiling_under_autocast_gives_float32() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        compiled = compile(nn.Conv2d(3, 4, 3), torch.randn(2, 3, 8, 8), kernels={"*": "torch"})
    assert compiled(torch.randn(2, 3, 8, 8)).dtype == torch.float32


def test_a_network_that_gives_nan_equals_itself(build: Callable[..., CompiledModel]) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    model.get_buffer("1.running_mean")[2] = float("nan")
    assert build(model, torch.randn(2, 3, 4, 4)).difference < 1e-6


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"optimize": "size"}, ArgumentError, "`optimize`='size'"),
        ({"example": torch.randn(2, 3, 8, 8).double()}, ArgumentError, "torch.float64"),
        ({"example": []}, ArgumentError, "a list without a tensor"),
        ({"example": None}, ArgumentError, "`example` is a NoneType"),
        ({"example": {"x": 1}}, ArgumentError, "`example` is a dict"),
        ({"tolerance": float("nan")}, ArgumentError, "`tolerance`=nan"),
        ({"tolerance": -1}, ArgumentError, "`tolerance`=-1"),
        ({"tolerance": "a"}, ArgumentError, "`tolerance`='a'"),
        ({"tolerance": [1e-3]}, ArgumentError, r"`tolerance`=\[0.001\]"),
        ({"kernels": "torch"}, ArgumentError, "`kernels`='torch' must map"),
        ({"kernels": {"*": 5}}, ArgumentError, r"`kernels` holds '\*': 5"),
        ({"kernels": {"*": []}}, ArgumentError, r"`kernels` holds '\*': \[\]"),
        ({"kernels": {5: "torch"}}, ArgumentError, "`kernels` holds 5: 'torch'"),
        ({"kernels": {"*": "no-such-kernel"}}, ArgumentError, "`kernels` wants 'no-such-kernel'"),
        ({"example": torch.randn(2, 5, 8, 8)}, CaptureError, "cannot capture Conv2d"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, error: type, message: str) -> None:
    call = {"model": nn.Conv2d(3, 4, 3), "example": torch.randn(2, 3, 8, 8), **arguments}
    with pytest.raises(error, match=message):
        compile(**call)


def test_layers_in_bfloat16_are_named_and_near_the_original() -> None:
    x, named = torch.randn(2, 3, 9, 10), {"*": ("bf16-*", "torch")}
    compiled = compile(_zeroed(), x, precision="bfloat16", kernels=named)
    *convs, head = compiled.layers.column("kernel")
    assert [name.partition("-")[0] for name in convs] == ["bf16"] * 4
    assert head == "torch"
    assert compiled.difference < 2e-2


def test_bfloat16_may_differ_by_what_eight_bits_cost() -> None:
    layer, x, named = nn.Conv2d(2, 8, 1, bias=False), torch.ones(1, 2, 4, 4), {"*": "bf16-*"}
    # Half way between two numbers of eight bits: 1 and 1 + 2^-7.
    nn.init.constant_(layer.weight, 1 + 2**-8)
    compiled = compile(layer, x, precision="bfloat16", kernels=named)
    assert compiled.difference == pytest.approx(1 - 1 / (1 + 2**-8), rel=1e-3)
    for allowed in ({}, {"precision": "bfloat16", "tolerance": 1e-3}):
        with pytest.raises(VerificationError, match="differs"):
            compile(layer, x, kernels=named, **allowed)


def test_bfloat16_without_its_instructions_is_not_measured() -> None:
    compiled = compile(nn.Conv2d(8, 8, 3), torch.randn(1, 8, 20, 20), precision="bfloat16")
    if has_pairs(_C.chosen_isa()):
        assert compiled.layers.notes == ()
    else:
        assert not compiled.layers.column("kernel")[0].startswith("bf16-")
        assert "lacks the instructions of bfloat16" in compiled.layers.notes[0]


def test_precision_is_one_of_two_and_not_for_bytes() -> None:
    layer, x = nn.Conv2d(3, 4, 3), torch.randn(1, 3, 9, 9)
    with pytest.raises(ArgumentError, match="`precision`='bf16' must be one of"):
        compile(layer, x, precision="bf16")
    small, _ = ow.quantize(nn.Sequential(layer, nn.ReLU()), [x], tolerance=1)
    with pytest.raises(ArgumentError, match="network in int8"):
        compile(small, x, precision="bfloat16")
