"""Constants as sizes, and sizes as constants."""

import torch
from torch import fx

from openwork.interchange.values import Constant, ShapeNumbers, as_constant, as_sizes


def test_constants_as_sizes() -> None:
    found = as_sizes(Constant(torch.tensor([2, 3])))
    assert found is not None
    assert (found.items, found.scalar, found.dtype) == ((2, 3), False, torch.int64)
    found = as_sizes(Constant(torch.tensor(1.5)))
    assert found is not None
    assert (found.items, found.scalar, found.dtype) == ((1.5,), True, torch.float32)
    assert as_sizes(Constant(torch.zeros(2, 2))) is None
    assert as_sizes(Constant(torch.zeros(65))) is None


def test_sizes_as_constants() -> None:
    known = as_constant(ShapeNumbers((2,), True))
    assert known is not None
    assert (known.item(), known.shape) == (2, ())
    node = fx.Graph().placeholder("x")
    assert as_constant(ShapeNumbers((2, node))) is None
    assert as_constant(node) is None
