"""`SparseLinear`: torch's linear layer without the dead weights."""

import copy

import pytest
import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.nn import SparseLinear
from openwork.patterns import dense, random


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("leading", [(), (4,), (2, 3)])
def test_it_computes_what_its_dense_layer_does(bias: bool, leading: tuple[int, ...]) -> None:
    layer = SparseLinear(random(7, 9, (), 0.4), bias)
    input = torch.randn(*leading, 9)
    torch.testing.assert_close(layer(input), layer.to_dense()(input), rtol=0, atol=1e-6)


def test_from_dense_and_to_dense_are_inverses() -> None:
    plain = nn.Linear(9, 7)
    pattern = random(7, 9, (), 0.4)
    plain.weight.data *= torch.from_numpy(pattern.taps)
    layer = SparseLinear.from_dense(plain)
    assert layer.pattern == pattern
    assert torch.equal(layer.to_dense().weight, plain.weight)
    assert torch.equal(layer.to_dense().bias, plain.bias)
    assert torch.equal(copy.deepcopy(layer).weight, layer.weight)


def test_a_convolutions_pattern_is_refused() -> None:
    with pytest.raises(ArgumentError, match="is a convolution's"):
        SparseLinear(dense(4, 4, 1))


def test_a_pattern_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"weight has \(7, 9\)"):
        SparseLinear.from_dense(nn.Linear(9, 7), dense(9, 7))


def test_weights_that_are_no_numbers_are_refused() -> None:
    plain = nn.Linear(9, 7)
    plain.weight.data[0, 0] = float("nan")
    with pytest.raises(ArgumentError, match=r"`module.weight` .* holds NaN"):
        SparseLinear.from_dense(plain, dense(7, 9))
