"""The batch norm kernels against torch in float64, on every instruction set."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

from typing import Any

import torch
import torch.nn.functional as F

from openwork.kernels.native import extension
from openwork.ops.native import array

# The stub names numpy's arrays; torch's tensors are taken as well.
_C: Any = extension

ISAS = _C.usable_isas()
# One value per channel, rows of all lengths around vectors, maps below and above what is treated
# as short, several blocks of short maps, more images than are summed at once, and one large map.
SHAPES = [
    (2, 1, 1, 1),
    (3, 5, 1, 1),
    (40, 300, 1, 1),
    (4, 7, 2, 2),
    (37, 70, 4, 4),
    (5, 3, 7, 7),
    (1, 6, 7, 9),
    (2, 3, 8, 8),
    (2, 9, 9, 13),
    (6, 4, 8, 8),
    (35, 2, 5, 13),
    (1, 2, 33, 67),
    (3, 4, 33, 31),
]
ACTS = {"relu": F.relu, "relu6": F.relu6, "none": lambda x: x}
EPS = 1e-5
# Largest error of each result relative to its largest value, in epsilons of float32.
TOLERANCE = 40 * torch.finfo(torch.float32).eps


class Call:
    """Operands of one call, and what the kernels and torch make of them."""

    def __init__(
        self,
        shape: tuple[int, ...],
        act: str,
        residual: bool,
        offset: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        generator = torch.Generator().manual_seed(sum(shape))

        def draw(*size: int) -> torch.Tensor:
            return torch.randn(size, generator=generator)

        self.act = act
        self.input, self.gradient = (draw(*shape) * 3 + offset).to(dtype), draw(*shape).to(dtype)
        # So that outputs reach the bound of ReLU6.
        self.weight, self.bias = 4 * draw(shape[1]), 2 + draw(shape[1])
        self.residual = draw(*shape).to(dtype) if residual else None

    def native(self, isa: str, threads: int = 1) -> list[torch.Tensor]:
        """Output, mean, unbiased variance, gradients by input, weight and bias, residual."""
        x, channels = self.input, self.input.shape[1]
        output, by_input = torch.full_like(x, torch.nan), torch.full_like(x, torch.nan)
        by_affine = torch.full((2, channels), torch.nan)
        gated = self.act != "none" and self.residual is not None
        by_residual = torch.full_like(x, torch.nan) if gated else None
        statistics = torch.full((3, channels), torch.nan)
        affine: dict[str, Any] = {"weight": self.weight, "bias": self.bias, "act": self.act}
        _C.batch_norm_forward(
            isa,
            input=array(x),
            residual=array(self.residual),
            eps=EPS,
            output=array(output),
            statistics=statistics,
            threads=threads,
            **affine,
        )
        _C.batch_norm_backward(
            isa,
            gradient=array(self.gradient),
            input=array(x),
            statistics=statistics,
            output=None if self.residual is None else array(output),
            grad_input=array(by_input),
            grad_residual=array(by_residual),
            grad_affine=by_affine,
            threads=threads,
            **affine,
        )
        found = [output, statistics[0], statistics[2], by_input, by_affine]
        return found if by_residual is None else [*found, by_residual]

    def exact(self) -> list[torch.Tensor]:
        """The same by torch in float64."""
        x, weight, bias = (
            t.double().requires_grad_() for t in (self.input, self.weight, self.bias)
        )
        residual = None if self.residual is None else self.residual.double().requires_grad_()
        mean, variance = torch.zeros_like(weight), torch.zeros_like(weight)
        output = F.batch_norm(x, mean, variance, weight, bias, True, 1.0, EPS)
        output = output if residual is None else output + residual
        output = ACTS[self.act](output)
        output.backward(self.gradient.double())
        assert x.grad is not None
        affine = [torch.zeros(0) if t.grad is None else t.grad for t in (weight, bias)]
        found = [output, mean, variance, x.grad, torch.stack(affine)]
        if residual is not None and self.act != "none" and residual.grad is not None:
            found.append(residual.grad)
        return [tensor.detach() for tensor in found]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("residual", [True, False])
def test_results_and_gradients_are_torchs_in_float64(
    shape: tuple[int, ...], act: str, residual: bool
) -> None:
    call = Call(shape, act, residual)
    exact = call.exact()
    for isa in ISAS:
        for at, (found, wanted) in enumerate(zip(call.native(isa), exact, strict=True)):
            # Two values per channel leave gradients of nothing but rounding.
            scale = max(wanted.abs().max().item(), 1.0)
            error = (found.double() - wanted).abs().max().item()
            assert error <= TOLERANCE * scale, (isa, at, error / scale)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("residual", [True, False])
def test_bfloat16_is_computed_with_in_float32_and_rounded_once(
    shape: tuple[int, ...], act: str, residual: bool
) -> None:
    call = Call(shape, act, residual, dtype=torch.bfloat16)
    output = call.exact()[0]
    # Rounding moves what is near the bound of ReLU6 across it.
    call.gradient[((output - 6).abs() < 0.05) | (output.abs() < 0.001)] = 0
    exact = call.exact()
    for isa in ISAS:
        for at, (found, wanted) in enumerate(zip(call.native(isa), exact, strict=True)):
            scale = max(wanted.abs().max().item(), 1.0)
            allowed = torch.full_like(wanted, TOLERANCE * scale)
            if found.dtype == torch.bfloat16:
                # Half a unit in the last of its eight digits.
                allowed += wanted.abs() * 2.0**-8
            assert ((found.double() - wanted).abs() <= allowed).all(), (isa, at)


def test_bfloat16_is_rounded_as_torch_does() -> None:
    whole = torch.randn(3000).view(torch.int32)
    halfway = (whole & -65536) | 0x8000
    special = torch.tensor([torch.inf, -torch.inf, torch.nan, 3.4e38, -3.4e38, 1e-40, -0.0])
    # NaN whose digits are all ones: rounded up as a number, it would be zero.
    ones = torch.tensor([0x7FFFFFFF, -1], dtype=torch.int32).view(torch.float32)
    # In maps that the kernels take one by one, and several together.
    for pixels in (81, 1):
        bias = torch.cat([whole, halfway, halfway + 1, halfway - 1]).view(torch.float32)
        bias = torch.cat([bias, special, ones])
        call = Call((2, len(bias), pixels, 1), "none", False, dtype=torch.bfloat16)
        call.weight, call.bias = torch.zeros_like(bias), bias
        for isa in ISAS:
            found = call.native(isa)[0]
            expected = bias.bfloat16()[None, :, None, None].expand(found.shape)
            torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("shape", [(6, 3, 20, 20), (40, 5, 3, 3)], ids=str)
@pytest.mark.parametrize("spoil", ["far mean", "first images differ", "constant"])
def test_statistics_hold_where_digits_cancel(shape: tuple[int, ...], spoil: str) -> None:
    call = Call(shape, "relu", False)
    if spoil == "far mean":
        call.input += 1000
    elif spoil == "first images differ":
        call.input[: shape[0] // 3] = 100 + call.input[: shape[0] // 3] / 1000
    else:
        call.input[:] = torch.tensor(0.1)
    exact = call.exact()
    torch_mean, torch_var = torch.zeros(shape[1]), torch.zeros(shape[1])
    F.batch_norm(call.input, torch_mean, torch_var, None, None, True, 1.0, EPS)
    for isa in ISAS:
        _, mean, variance, *_ = call.native(isa)
        for found, torchs, wanted in zip(
            (mean, variance), (torch_mean, torch_var), exact[1:3], strict=True
        ):
            allowed = (torchs.double() - wanted).abs() + 4e-6 * wanted.abs() + 1e-12
            assert ((found.double() - wanted).abs() <= allowed).all()


@pytest.mark.parametrize("shape", [(5, 9, 12, 12), (40, 300, 2, 2)], ids=str)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_threads_change_no_bit(
    shape: tuple[int, ...], act: str, residual: bool, dtype: torch.dtype
) -> None:
    call = Call(shape, act, residual, dtype=dtype)
    for isa in ISAS:
        for one, two in zip(call.native(isa, 1), call.native(isa, 2), strict=True):
            assert torch.equal(one, two)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("shape", [(3, 4, 9, 9), (20, 4, 2, 2)], ids=str)
@pytest.mark.parametrize("image", [0, -1])
@pytest.mark.parametrize("act", ACTS)
def test_nan_and_infinity_go_where_torchs_go(
    value: float, shape: tuple[int, ...], image: int, act: str
) -> None:
    call = Call(shape, act, True)
    call.input[image, 1, 0, 1] = value
    call.gradient[0, 2, 1, 1] = value
    for isa in ISAS:
        for found, wanted in zip(call.native(isa), call.exact(), strict=True):
            torch.testing.assert_close(found, wanted.float(), rtol=1e-4, atol=1e-4, equal_nan=True)


def _arguments() -> tuple[dict[str, Any], dict[str, Any]]:
    x, c = torch.zeros(2, 3, 4, 4), torch.ones(3)
    shared: dict[str, Any] = {"input": x, "weight": c, "bias": c, "act": "relu", "threads": 1}
    statistics = torch.ones(3, 3)
    forward = {"residual": None, "eps": EPS, "output": x.clone(), "statistics": statistics}
    backward = {
        "gradient": x,
        "output": None,
        "statistics": statistics,
        "grad_input": x.clone(),
        "grad_residual": None,
        "grad_affine": torch.zeros(2, 3),
    }
    return shared | forward, shared | backward


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("input", torch.zeros(2, 3, 4, 4).double(), TypeError),
        ("input", torch.zeros(2, 3, 4, 4, dtype=torch.uint16), TypeError),
        ("input", torch.zeros(2, 3, 16), TypeError),
        ("input", torch.zeros(2, 4, 4, 3).permute(0, 3, 1, 2), TypeError),
        ("input", torch.zeros(2, 3, 4, 5), ValueError),
        ("input", torch.zeros(0, 3, 4, 4), ValueError),
        ("input", torch.zeros(2, 3, 0, 4), ValueError),
        ("weight", torch.zeros(4), ValueError),
        ("bias", torch.zeros(2), ValueError),
        ("statistics", torch.zeros(2, 3), ValueError),
        ("statistics", torch.zeros(3, 2), ValueError),
        ("output", torch.zeros(2, 3, 5, 4), ValueError),
        ("act", "gelu", ValueError),
        ("act", True, TypeError),
        ("threads", 0, ValueError),
        ("threads", 1 << 20, ValueError),
        ("residual", torch.zeros(1, 3, 4, 4), ValueError),
        ("gradient", torch.zeros(2, 3, 4, 3), ValueError),
        ("grad_input", torch.zeros(1, 3, 4, 4), ValueError),
        ("grad_residual", torch.zeros(2, 3, 4, 4), ValueError),
        ("grad_affine", torch.zeros(2, 2), ValueError),
    ],
)
def test_bad_operands_are_python_errors(name: str, value: Any, error: type[Exception]) -> None:
    taken = 0
    for function, arguments in zip(
        (_C.batch_norm_forward, _C.batch_norm_backward), _arguments(), strict=True
    ):
        function(ISAS[-1], **arguments)
        if name in arguments:
            with pytest.raises(error):
                function(ISAS[-1], **(arguments | {name: value}))
            taken += 1
    assert taken
