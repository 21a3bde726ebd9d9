"""Calls of our operators are caught with their arguments, and each direction is timed."""

import pytest
import torch

from openwork.nn import SparseConv2d, SparseLinear
from openwork.ops.timed import catch_calls, time_directions
from openwork.patterns import random


@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_a_call_is_caught_and_timed(kind: str) -> None:
    layer, x = SparseLinear(random(6, 5, density=0.5)), torch.randn(2, 3, 5)
    if kind == "conv":
        layer = SparseConv2d(random(6, 5, 3, density=0.5), padding=1, stride=2)
        x = torch.randn(2, 5, 6, 7)
    with catch_calls() as calls:
        layer(x)
    (call,) = calls
    assert call.arguments[0] is x
    assert call.arguments[1] is layer.weight
    timed = time_directions(call, ("forward", "weight"), torch.float64)
    assert list(timed) == ["forward", "weight"]
    for way in timed.values():
        assert way.kernel == "reference"
        assert "multiply-adds" in way.why or "compiled" in way.why
        assert way.seconds > 0 < way.dense_seconds
    with catch_calls() as calls:
        layer.to_dense()(x)
    assert calls == []
