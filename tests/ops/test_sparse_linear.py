"""`openwork::sparse_linear` against torch's dense product, and its registrations."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from openwork.ops import sparse_linear
from openwork.patterns import Pattern


def _operands(
    rows: int, columns: int, density: float, seed: int, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    taps = torch.rand(rows, columns, generator=generator) < density
    dense = torch.randn(rows, columns, generator=generator, dtype=dtype) * taps
    gaps = torch.from_numpy(Pattern(taps.numpy()).gaps.copy())
    bias = torch.randn(rows, generator=generator, dtype=dtype)
    return dense[taps], gaps, bias, dense


_leading = st.lists(st.integers(0, 3), max_size=3).map(tuple)


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.floats(0, 1), _leading, st.booleans())
def test_it_computes_what_torch_does_with_the_dense_weight(
    rows: int, columns: int, density: float, leading: tuple[int, ...], with_bias: bool
) -> None:
    weight, gaps, bias, dense = _operands(rows, columns, density, rows * 31 + columns)
    given_bias = bias if with_bias else None
    input = torch.randn(*leading, columns, dtype=torch.float64)
    result = sparse_linear(input, weight, gaps, given_bias, (rows, columns))
    assert torch.equal(result, F.linear(input, dense, given_bias))


@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
def test_its_gradients_are_right(leading: tuple[int, ...]) -> None:
    weight, gaps, bias, _ = _operands(4, 5, 0.5, 1)
    input = torch.randn(*leading, 5, dtype=torch.float64, requires_grad=True)

    def run(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return sparse_linear(x, w, gaps, b, (4, 5))

    operands = (input, weight.requires_grad_(), bias.requires_grad_())
    assert torch.autograd.gradcheck(run, operands)
    assert torch.autograd.gradgradcheck(run, operands)


@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (0,)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_torch_finds_its_registrations_sound(leading: tuple[int, ...], with_bias: bool) -> None:
    weight, gaps, bias, _ = _operands(6, 5, 0.5, 2, torch.float32)
    given_bias = bias.requires_grad_() if with_bias else None
    input = torch.randn(*leading, 5, requires_grad=True)
    outcome = torch.library.opcheck(
        torch.ops.openwork.sparse_linear.default,
        (input, weight.requires_grad_(), gaps, given_bias, [6, 5]),
    )
    assert set(outcome.values()) == {"SUCCESS"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_casts_to_the_dtype_of_the_block(dtype: torch.dtype) -> None:
    weight, gaps, bias, dense = _operands(6, 5, 0.5, 3, torch.float32)
    input = torch.randn(4, 5)
    with torch.autocast("cpu", dtype):
        result = sparse_linear(input, weight, gaps, bias, (6, 5))
        assert torch.equal(result, F.linear(input, dense, bias))
    assert result.dtype == dtype
