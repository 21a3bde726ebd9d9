"""In-place operators, and the operators that give the same as a new tensor."""

from typing import Any

import pytest
import torch

from openwork.engine.lower.functional import functional

aten = torch.ops.aten


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (aten.leaky_relu_.default, aten.leaky_relu.default),
        (aten.add_.Tensor, aten.add.Tensor),
        # `pow.Scalar` is a number to the power of a tensor.
        (aten.pow_.Scalar, aten.pow.Tensor_Scalar),
        (aten.pow_.Tensor, aten.pow.Tensor_Tensor),
        (aten.relu.default, aten.relu.default),
        # Those that have none, or one with other arguments.
        (aten.add.out, aten.add.out),
        (aten.bernoulli_.float, aten.bernoulli_.float),
        (aten.view.default, aten.reshape.default),
        (len, len),
    ],
    ids=str,
)
def test_the_operator_that_gives_a_new_tensor(target: Any, expected: Any) -> None:
    assert functional(target) is expected
