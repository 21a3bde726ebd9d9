"""Sparse layers on the native kernels against the reference, through torch's own machinery."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import openwork as ow
from openwork.nn import SparseConv2d, SparseLinear
from openwork.ops import native
from openwork.patterns import Pattern, dense, random

VARIABLE = "OPENWORK_TRAIN_KERNELS"
TAPS = np.random.default_rng(0).random((16, 8, 3, 3)) < 0.3


@pytest.fixture(autouse=True)
def _always_native(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first kernel runs, however small the layer is."""
    monkeypatch.setenv(VARIABLE, "native")
    monkeypatch.setattr(native, "LEAST_WORK", 0)


def conv(**options: object) -> SparseConv2d:
    return SparseConv2d(random(12, 8, 3, density=0.4, seed=3), **options)  # type: ignore[arg-type]


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "3x3": (lambda: conv(padding=1), (3, 8, 9, 11)),
    "without bias": (lambda: conv(bias=False), (3, 8, 9, 11)),
    "stride 2": (lambda: conv(stride=2, padding=1), (3, 8, 9, 11)),
    "dilation": (lambda: conv(dilation=2, padding=2), (3, 8, 9, 11)),
    "reflected": (lambda: conv(padding=1, padding_mode="reflect"), (3, 8, 9, 11)),
    "same, even": (
        lambda: SparseConv2d(random(6, 8, (2, 4), density=0.5), padding="same"),
        (2, 8, 9, 7),
    ),
    "1x1": (lambda: SparseConv2d(random(12, 8, 1, density=0.4)), (3, 8, 9, 11)),
    "1x1 stride 2": (lambda: SparseConv2d(random(12, 8, 1, density=0.4), stride=2), (3, 8, 9, 11)),
    "groups": (lambda: SparseConv2d(random(12, 8, 3, density=0.5, groups=4)), (3, 8, 9, 11)),
    "depthwise": (lambda: SparseConv2d(random(8, 8, 3, density=0.8, groups=8)), (3, 8, 9, 11)),
    "taps": (lambda: SparseConv2d(Pattern(TAPS)), (2, 8, 9, 11)),
    "small maps": (lambda: conv(padding=1), (17, 8, 4, 4)),
    "one image": (lambda: conv(padding=1), (8, 9, 11)),
    "linear": (lambda: SparseLinear(random(24, 40, density=0.2)), (17, 40)),
    "linear, nested": (lambda: SparseLinear(random(24, 40, density=0.2)), (2, 5, 40)),
}


def gradients(layer: Any, x: torch.Tensor) -> list[torch.Tensor]:
    """Output, and gradients of the input and of all parameters."""
    x = x.clone().requires_grad_()
    output = layer(x)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output)
    found = torch.autograd.grad((output * weights).sum(), [x, *layer.parameters()])
    return [output, *found]


def exact(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The same in float64, which only the reference computes."""
    twin = type(layer).__new__(type(layer))
    nn.Module.__init__(twin)
    twin.__dict__.update(layer.__dict__)
    twin._parameters = {
        name: None if p is None else nn.Parameter(p.detach().double())
        for name, p in layer._parameters.items()
    }
    return gradients(twin, x.double())


def close(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        largest = other.abs().max().item()
        assert (one.double() - other).abs().max().item() <= 2e-5 * max(largest, 1e-3)


@pytest.mark.parametrize("name", LAYERS)
def test_all_directions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    layer, x = make(), torch.randn(shape)
    calls: list[str] = []
    for function in ("forward", "input_gradient", "weight_gradient"):
        real = getattr(native, function)

        def counting(*args: object, real=real, function=function) -> torch.Tensor:
            calls.append(function)
            return real(*args)

        monkeypatch.setattr(native, function, counting)
    found = gradients(layer, x)
    assert sorted(calls) == ["forward", "input_gradient", "weight_gradient"]
    close(found, exact(layer, x))


@pytest.mark.parametrize(("side", "images"), [(32, 16), (8, 16), (4, 32), (3, 57), (1, 512)])
def test_kernels_are_measured_on_enough_outputs_to_fill_their_tiles(side: int, images: int) -> None:
    sizes = native.ConvSizes((4, 4, 3, 3), (1, 1), (1, 1), (1, 1), 1, (side, side))
    assert native.NativeLayer(sizes, np.zeros(1, np.int64), 9).measured_images == images


def test_gradients_that_are_not_needed_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> torch.Tensor:
        raise AssertionError("computed")

    layer, x = conv(padding=1), torch.randn(2, 8, 9, 9)
    monkeypatch.setattr(native, "input_gradient", refuse)
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    layer.requires_grad_(False)
    monkeypatch.undo()
    monkeypatch.setenv(VARIABLE, "native")
    monkeypatch.setattr(native, "LEAST_WORK", 0)
    monkeypatch.setattr(native, "weight_gradient", refuse)
    x.requires_grad_()
    layer(x).sum().backward()
    assert x.grad is not None


def test_gradients_of_gradients_go_through_the_reference() -> None:
    layer, x = conv(padding=1), torch.randn(1, 8, 6, 6, requires_grad=True)
    (first,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), layer.weight)
    dense = layer.to_dense()
    (first,) = torch.autograd.grad(dense(x).square().sum(), x, create_graph=True)
    (wanted,) = torch.autograd.grad(first.square().sum(), dense.weight)
    live = wanted.flatten()[torch.from_numpy(layer.pattern.positions)]
    torch.testing.assert_close(second, live, rtol=1e-3, atol=1e-3 * live.abs().max().item())


@pytest.mark.parametrize("name", ["3x3", "stride 2", "linear"])
def test_torch_compile_and_checkpointing(name: str) -> None:
    make, shape = LAYERS[name]
    layer, x = make(), torch.randn(shape)
    wanted = gradients(layer, x)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    found = gradients(compiled, x)
    kept = gradients(_Checkpointed(layer), x)
    for one, two, three in zip(found, kept, wanted, strict=True):
        assert torch.equal(one, three)
        assert torch.equal(two, three)


class _Checkpointed(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.layer, x, use_reentrant=False)


def test_functional_gradients() -> None:
    layer, x = conv(padding=1), torch.randn(2, 8, 6, 6)
    parameters = dict(layer.named_parameters())

    def loss(given: Any) -> torch.Tensor:
        return torch.func.functional_call(layer, given, (x,)).square().sum()

    found = torch.func.grad(loss)(parameters)
    loss(parameters).backward()
    for name, parameter in parameters.items():
        assert parameter.grad is not None
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-4)
    images = torch.stack([x, 2 * x])
    torch.testing.assert_close(torch.vmap(layer)(images)[1], layer(2 * x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_run_on_the_reference(dtype: torch.dtype) -> None:
    layer, x = conv(padding=1).to(dtype), torch.randn(2, 8, 6, 6, dtype=dtype)
    assert torch.equal(layer(x), layer.to_dense()(x))


def test_channels_last_keeps_its_layout() -> None:
    layer = conv(padding=1)
    x = torch.randn(2, 8, 6, 6).to(memory_format=torch.channels_last)
    assert layer(x).is_contiguous(memory_format=torch.channels_last)


def test_a_grown_pattern_is_packed_again() -> None:
    torch.manual_seed(0)
    plan = ow.Plan({"0": {"pattern": "random", "density": 0.2}})
    model = ow.sparsify_(nn.Sequential(nn.Conv2d(16, 16, 3, padding=1)), plan)
    x = torch.randn(2, 16, 8, 8)
    for density in (0.2, 0.5):
        ow.grow_(model, density)
        close(gradients(model[0], x), exact(model[0], x))


def test_a_pattern_that_changes_in_place_is_packed_again() -> None:
    layer, x = conv(padding=1), torch.randn(2, 8, 6, 6)
    close(gradients(layer, x), exact(layer, x))
    other = random(12, 8, 3, density=0.4, seed=4)
    with torch.no_grad():
        layer.gaps.copy_(torch.from_numpy(other.gaps.copy()))
    close(gradients(layer, x), exact(layer, x))


def test_a_layer_that_was_made_in_inference_mode() -> None:
    with torch.inference_mode():
        layer, x = conv(padding=1), torch.randn(2, 8, 6, 6)
        assert torch.allclose(layer(x), layer.to_dense()(x), atol=1e-4)


def test_equal_patterns_share_what_was_packed() -> None:
    one, two = conv(padding=1), conv(padding=1)
    sizes = native.ConvSizes((12, 8, 3, 3), (1, 1), (1, 1), (1, 1), 1, (6, 6))
    x = torch.randn(2, 8, 6, 6)
    found = [native.find_layer(x, layer.weight, layer.gaps, sizes, 2) for layer in (one, two)]
    assert found[0] is not None
    assert found[0] is found[1]
    other = SparseConv2d(random(12, 8, 3, density=0.4, seed=5))
    assert native.find_layer(x, other.weight, other.gaps, sizes, 2) is not found[0]


def test_the_reference_is_bit_equal_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "reference")
    layer, x = conv(padding=1), torch.randn(2, 8, 6, 6)
    assert torch.equal(layer(x), layer.to_dense()(x))


def test_small_layers_are_left_to_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "LEAST_WORK", 10**9)
    layer, x = conv(padding=1), torch.randn(2, 8, 6, 6)
    assert torch.equal(layer(x), layer.to_dense()(x))


def test_evaluation_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)

    def refuse(*args: object) -> str:
        raise AssertionError("measured")

    monkeypatch.setattr(native.choices, "measure", refuse)
    layer, x = conv(padding=1), torch.randn(2, 8, 6, 7)
    with torch.no_grad():
        assert torch.equal(layer(x), layer.to_dense()(x))
    with pytest.raises(AssertionError, match="measured"):
        layer(x)


@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_layers_that_are_all_live_are_torchs(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = SparseLinear(dense(12, 8)), torch.randn(5, 8)
    if kind == "conv":
        layer, x = SparseConv2d(dense(12, 8, 3), padding=1), torch.randn(2, 8, 6, 6)

    def refuse(*args: object) -> torch.Tensor:
        raise AssertionError("computed")

    monkeypatch.setattr(native, "forward", refuse)
    output, by_input, by_weight, by_bias = gradients(layer, x)
    wanted = gradients(layer.to_dense(), x)
    assert torch.equal(by_weight.view_as(wanted[2]), wanted[2])
    for one, other in zip(
        (output, by_input, by_bias), (wanted[0], wanted[1], wanted[3]), strict=True
    ):
        assert torch.equal(one, other)
    exported = torch.export.export(nn.Sequential(layer), (x,))
    assert "openwork" in exported.graph_module.code


class _Watch(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(str(func))
        return func(*args, **(kwargs or {}))


def test_eager_calls_need_no_dispatcher() -> None:
    layer, x = conv(padding=1), torch.randn(2, 8, 6, 6)
    eager = gradients(layer, x)
    with _Watch() as watch:
        dispatched = gradients(layer, x)
    assert {
        "openwork.sparse_conv2d.default",
        "openwork.sparse_conv2d_gradients.default",
    } < watch.seen
    for one, other in zip(eager, dispatched, strict=True):
        assert torch.equal(one, other)
    assert type(layer(x).grad_fn).__name__ == "_EagerConv2dBackward"
