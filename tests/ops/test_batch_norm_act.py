"""`openwork::batch_norm_act` against torch's own operators, and its registrations."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from openwork.kernels.native import extension, reason_missing
from openwork.ops import batch_norm_act as ops
from openwork.ops.batch_norm_act import native_takes

EPS = 1e-5
# Operands come as a dictionary's values, whose number no type says.
batch_norm_act: Any = ops.batch_norm_act
NAMES = ("input", "weight", "bias", "residual")


def _operands(
    shape: Sequence[int] = (4, 3, 5, 6), dtype: torch.dtype = torch.float32, wanted: Any = NAMES
) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = (shape, shape[1:2], shape[1:2], shape)
    drawn = [torch.randn(*size, generator=generator, dtype=dtype) for size in sizes]
    # So that outputs reach the bound of ReLU6.
    drawn[1] *= 6
    if dtype == torch.bfloat16:
        drawn[1:3] = (affine.float() for affine in drawn[1:3])
    return {
        name: tensor.requires_grad_(name in wanted)
        for name, tensor in zip(NAMES, drawn, strict=True)
    }


def _torchs(*operands: Any) -> torch.Tensor:
    input, weight, bias, residual, act = operands
    result = F.batch_norm(input, None, None, weight, bias, True, 0.0, EPS)
    result = result if residual is None else result + residual
    return {"relu": F.relu, "relu6": F.relu6, "none": lambda x: x}[act](result)


@pytest.fixture
def native_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The native functions that were called."""
    if reason_missing is not None:
        pytest.skip(reason_missing)
    calls: list[str] = []
    for name in ("batch_norm_forward", "batch_norm_backward"):
        function = getattr(extension, name)

        def run(*args: Any, _name: str = name, _function: Any = function, **options: Any) -> None:
            calls.append(_name)
            _function(*args, **options)

        monkeypatch.setattr(extension, name, run)
    return calls


@pytest.mark.parametrize("act", ["relu", "relu6", "none"])
@pytest.mark.parametrize("missing", [(), ("residual",), ("weight", "bias"), NAMES[1:], ("bias",)])
def test_gradients_and_those_of_gradients_by_differences(
    act: str, missing: tuple[str, ...]
) -> None:
    operands = _operands((3, 2, 2, 3), torch.float64)
    given = [operands[name] for name in NAMES if name not in missing]

    def run(*tensors: torch.Tensor) -> torch.Tensor:
        named = dict(zip([n for n in NAMES if n not in missing], tensors, strict=True))
        return batch_norm_act(*(named.get(name) for name in NAMES), EPS, act)[0]  # type: ignore[arg-type]

    assert torch.autograd.gradcheck(run, given)
    assert torch.autograd.gradgradcheck(run, given)


@pytest.mark.parametrize("act", ["relu", "relu6", "none"])
@pytest.mark.parametrize(
    "wanted", [c for n in range(5) for c in itertools.combinations(NAMES, n)], ids=str
)
def test_only_the_wanted_gradients_are_computed(act: str, wanted: tuple[str, ...]) -> None:
    operands, others = _operands(wanted=wanted), _operands(wanted=wanted)
    result, statistics = batch_norm_act(*operands.values(), EPS, act)
    expected = _torchs(*others.values(), act)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)
    assert result.requires_grad is bool(wanted)
    assert not statistics.requires_grad
    if wanted:
        upstream = torch.randn(result.shape)
        result.backward(upstream)
        expected.backward(upstream)
    for name in NAMES:
        found, right = operands[name].grad, others[name].grad
        assert (found is None) is (name not in wanted)
        torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-5)


def test_gradients_of_any_layout_are_taken(native_calls: list[str]) -> None:
    for strided in (
        torch.ones(()).expand(4, 3, 5, 6),
        torch.randn(4, 3, 5, 6).to(memory_format=torch.channels_last),
        torch.randn(4, 3, 6, 5).transpose(2, 3),
    ):
        operands, others = _operands(), _operands()
        batch_norm_act(*operands.values(), EPS, "relu6")[0].backward(strided)
        _torchs(*others.values(), "relu6").backward(strided)
        for name in NAMES:
            torch.testing.assert_close(operands[name].grad, others[name].grad, rtol=1e-4, atol=1e-5)
    assert native_calls == ["batch_norm_forward", "batch_norm_backward"] * 3


def test_what_the_kernels_take(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, _, residual = (tensor.detach() for tensor in _operands().values())
    assert native_takes(x, weight, residual) is (reason_missing is None)
    channels_last = x.to(memory_format=torch.channels_last)
    half, more = x.bfloat16(), residual.bfloat16()
    assert native_takes(half, weight, more) is (reason_missing is None)
    assert not native_takes(half, weight.bfloat16(), more)
    assert not native_takes(half, weight, residual)
    assert not native_takes(x.half(), weight, None)
    assert not native_takes(x.double(), None, None)
    assert not native_takes(x, weight.double(), None)
    assert not native_takes(channels_last, weight, None)
    assert not native_takes(x, weight, channels_last)
    assert not native_takes(x, weight, residual[:1])
    assert not native_takes(x[:0], weight, None)
    assert not native_takes(x[0], weight, None)
    assert not native_takes(x.to("meta"), weight, None)
    monkeypatch.setenv("OPENWORK_TRAIN_KERNELS", "reference")
    assert not native_takes(x, weight, residual)


@pytest.mark.parametrize("act", ["relu", "relu6", "none"])
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_torch_finds_its_registrations_sound(act: str, residual: bool, dtype: torch.dtype) -> None:
    x, weight, bias, more = _operands(dtype=dtype).values()
    operands = (x, weight, bias, more if residual else None, EPS, act)
    outcome = torch.library.opcheck(torch.ops.openwork.batch_norm_act.default, operands)
    assert set(outcome.values()) == {"SUCCESS"}
    result, statistics = batch_norm_act(*operands)
    saved = result.detach() if residual else None
    wanted = [True, True, residual and act != "none"]
    backward = (x.detach(), x.detach(), weight.detach(), bias.detach(), saved, statistics, EPS)
    outcome = torch.library.opcheck(
        torch.ops.openwork.batch_norm_act_backward.default, (*backward, act, wanted)
    )
    assert set(outcome.values()) == {"SUCCESS"}


def test_the_operator_and_the_function_give_the_same_bits(native_calls: list[str]) -> None:
    one, two = _operands(), _operands()
    upstream = torch.randn(one["input"].shape)
    results = [
        batch_norm_act(*one.values(), EPS, "relu6"),
        torch.ops.openwork.batch_norm_act.default(*two.values(), EPS, "relu6"),
    ]
    for output, _ in results:
        output.backward(upstream)
    for first, second in zip(*results, strict=True):
        assert torch.equal(first, second)
    for name in NAMES:
        torch.testing.assert_close(one[name].grad, two[name].grad, rtol=0, atol=0)
    assert len(native_calls) == 4


def test_without_a_residual_nothing_but_the_input_is_kept() -> None:
    kept: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    x, weight, bias, residual = _operands().values()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        batch_norm_act(x, weight, bias, None, EPS, "relu6")
    assert sorted(kept) == [3, 3, 9, x.numel()]
    kept.clear()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        batch_norm_act(x, weight, bias, residual, EPS, "relu6")
    assert sorted(kept) == [3, 3, 9, x.numel(), x.numel()]
