"""Our operators follow `torch.autocast` as torch's own do."""

import pytest
import torch

from openwork.ops import sparse_linear

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
