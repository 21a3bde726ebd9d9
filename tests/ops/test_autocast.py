"""Our operators follow `torch.autocast` as torch's own do."""

from pathlib import Path
from typing import Any

import pytest
import torch

from openwork.nn import SparseConv2d, SparseLinear
from openwork.ops import native, sparse_linear
from openwork.patterns import random

GAPS = torch.tensor([0, 3], dtype=torch.uint8)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_floats_are_cast_within_the_block_only(dtype: torch.dtype) -> None:
    x, weight = torch.randn(3, 2), torch.randn(2)
    with torch.autocast("cpu", dtype=dtype):
        assert sparse_linear(x, weight, GAPS, None, (2, 2)).dtype == dtype
        with torch.autocast("cpu", enabled=False):
            assert sparse_linear(x, weight, GAPS, None, (2, 2)).dtype == torch.float32
    assert sparse_linear(x, weight, GAPS, None, (2, 2)).dtype == torch.float32


def test_float64_stays() -> None:
    x, weight = torch.randn(3, 2, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = sparse_linear(x, weight, GAPS, None, (2, 2))
    assert found.dtype == torch.float64
    assert torch.equal(found, sparse_linear(x, weight, GAPS, None, (2, 2)))


def test_gradients_come_back_in_the_type_of_the_weights() -> None:
    weight = torch.randn(2, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = sparse_linear(torch.ones(1, 2), weight, GAPS, None, (2, 2)).float().sum()
    loss.backward()
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32
    assert weight.grad.tolist() == [1, 1]


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Kernels for small layers too, and no choice known yet."""
    pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")
    monkeypatch.setattr(native, "LEAST_WORK", 0)
    monkeypatch.setenv("OPENWORK_CACHE", str(tmp_path))
    monkeypatch.setenv("OPENWORK_TRAIN_KERNELS", "native")
    return monkeypatch


def layer_and_input(kind: str, seed: int) -> tuple[Any, torch.Tensor]:
    torch.manual_seed(0)
    if kind == "conv":
        pattern = random(8, 8, 3, density=0.4, seed=seed)
        return SparseConv2d(pattern, padding=1), torch.randn(3, 8, 6, 7)
    return SparseLinear(random(12, 8, density=0.4, seed=seed)), torch.randn(5, 8)


def autocast_step(layer: Any, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Output, and gradients of input, weight and bias."""
    x = x.detach().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(x)
    return output, *torch.autograd.grad(output.float().square().sum(), [x, *layer.parameters()])


@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_native_kernels_keep_the_types_of_autocast(
    kind: str, given: torch.dtype, kernels: pytest.MonkeyPatch
) -> None:
    layer, x = layer_and_input(kind, 41)
    calls: list[torch.dtype] = []
    real = native.forward

    def counting(layer: Any, kernel: Any, x: torch.Tensor, *rest: Any) -> torch.Tensor:
        calls.append(x.dtype)
        return real(layer, kernel, x, *rest)

    kernels.setattr(native, "forward", counting)
    found = autocast_step(layer, x.to(given))
    assert calls == [torch.float32]
    assert [each.dtype for each in found] == [torch.bfloat16, given, torch.float32, torch.float32]
    wanted = autocast_step(layer.to_dense(), x.to(given))
    assert [each.dtype for each in wanted] == [each.dtype for each in found]
    live = wanted[2].flatten()[torch.from_numpy(layer.pattern.positions)]
    for one, other in zip(found, (wanted[0], wanted[1], live, wanted[3]), strict=True):
        # Eight bits of mantissa, in torch's own weights as well.
        torch.testing.assert_close(one.float(), other.float(), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("fastest", ["float32", "reference"])
def test_the_faster_type_is_measured_once(fastest: str, kernels: pytest.MonkeyPatch) -> None:
    kernels.delenv("OPENWORK_TRAIN_KERNELS")
    layer, x = layer_and_input("conv", 42 if fastest == "float32" else 43)
    measured: list[list[str]] = []

    def measure(key: str, ways: Any) -> str:
        names = [name for name, prepare in ways if prepare()() is None or name]
        measured.append(names)
        return fastest if "float32" in names else names[-1]

    kernels.setattr(native.choices, "measure", measure)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        unknown = layer(x)
    assert torch.equal(unknown, layer.to_dense().bfloat16()(x.bfloat16()))
    output = autocast_step(layer, x)[0]
    assert measured[-1] == ["float32", "reference"]
    before = len(measured)
    assert torch.equal(autocast_step(layer, x)[0], output)
    assert len(measured) == before
    # Evaluation, with another batch too, follows.
    whole = layer(x[:1]).bfloat16() if fastest == "float32" else unknown[:1]
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(x[:1]), whole)


def test_compiled_and_traced_calls_are_cast_as_before(kernels: pytest.MonkeyPatch) -> None:
    layer, x = layer_and_input("conv", 44)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    output, by_input, *_ = autocast_step(compiled, x)
    assert (output.dtype, by_input.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(
        output.float(), layer(x).to(torch.bfloat16).float(), rtol=0.05, atol=0.05
    )
