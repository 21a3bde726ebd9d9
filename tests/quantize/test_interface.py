"""`Interface`: calls that the network cannot take are refused, results are nested as before."""

import re
from collections import namedtuple

import pytest
import torch
from torch import nn

from openwork._call import call_of
from openwork._nested import flatten
from openwork.capture import BatchSizes
from openwork.capture.call_form import CallForm
from openwork.errors import ArgumentError
from openwork.quantize.interface import Interface

Pair = namedtuple("Pair", ["first", "kind"])


def _interface(any_size: bool) -> Interface:
    call = call_of(nn.Conv2d(3, 4, 3), torch.randn(4, 3, 8, 8))
    _, nesting = flatten(Pair(0, "x"))
    form = CallForm.of(nn.Conv2d(3, 4, 3), call)
    return Interface(form, nesting, {1: "x"}, BatchSizes(2, 8), ((3, 8, 8),), any_size)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 3, 8, 9), "input 0 has shape (4, 3, 8, 9), but must have (batch, 3, 8, 8)"),
        ((4, 2, 8, 8), "must have (batch, 3, 8, 8)"),
        ((4, 3, 8), "must have (batch, 3, 8, 8)"),
        ((1, 3, 8, 8), "input 0 has a batch of 1, but the network takes batches of 2 to 8"),
    ],
)
def test_wrong_shapes(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(message)):
        _interface(False).inputs([torch.zeros(shape)], {})


def test_wrong_counts_and_types() -> None:
    with pytest.raises(ArgumentError, match="takes 1 tensors, but was given 2"):
        _interface(False).inputs([torch.zeros(4, 3, 8, 8)] * 2, {})
    with pytest.raises(ArgumentError, match=r"is torch\.float16, but must be .* torch\.float32"):
        _interface(False).inputs([torch.zeros(4, 3, 8, 8).half()], {})
    with pytest.raises(ArgumentError, match="input 0 is list"):
        _interface(False).inputs([[1.0]], {})


def test_other_sizes_keep_their_channels() -> None:
    found = _interface(True).inputs([], {"input": torch.zeros(2, 3, 20, 5)})
    assert found[0].shape == (2, 3, 20, 5)
    with pytest.raises(ArgumentError, match="quantise the network again"):
        _interface(True).inputs([torch.zeros(2, 1, 8, 8)], {})


def test_results_are_nested() -> None:
    result = torch.ones(2)
    found = _interface(False).results([result, None])
    assert type(found) is Pair
    assert found.first is result
    assert found.kind == "x"
