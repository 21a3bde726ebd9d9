"""What a batch norm on native kernels waits for."""

from typing import Any

import pytest
import torch
from torch import nn

from openwork.kernels.native import reason_missing
from openwork.nn import BatchNormAct2d
from openwork.nn.norms.deferred import Deferred

pytestmark = pytest.mark.skipif(reason_missing is not None, reason="needs the compiled kernels")
X = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))


def _norm(waits_for: str | None) -> BatchNormAct2d:
    return BatchNormAct2d.in_place_of(nn.BatchNorm2d(3), waits_for)


@pytest.mark.parametrize(
    ("waits_for", "output", "of_sum"),
    [(None, False, False), ("none", True, False), ("relu", True, True), ("relu6", True, True)],
)
def test_which_outputs_and_sums_wait(waits_for: str | None, output: bool, of_sum: bool) -> None:
    torchs = nn.BatchNorm2d(3)
    found = _norm(waits_for)(X)
    assert isinstance(found, Deferred) is output
    assert isinstance(found + X, Deferred) is of_sum
    torch.testing.assert_close(found + 0, torchs(X))
    torch.testing.assert_close(_norm(waits_for)(X) + X + 0, torchs(X) + X)


@pytest.mark.parametrize("waits_for", ["none", "relu"])
def test_a_sum_in_place_is_seen_by_who_holds_the_output(waits_for: str) -> None:
    found = _norm(waits_for)(X)
    held = found
    found += X
    torch.testing.assert_close(held * 1, nn.BatchNorm2d(3)(X) + X)
    torch.testing.assert_close(found * 1, held * 1, rtol=0, atol=0)


def test_nothing_waits_where_hooks_or_a_compiler_look() -> None:
    hooked = _norm("relu")
    hooked.register_full_backward_hook(lambda *_: None)
    assert not isinstance(hooked(X), Deferred)
    norm = _norm("relu")
    found: Any = torch.compile(norm, backend="eager", fullgraph=True)(X)
    assert not isinstance(found, Deferred)
    torch.testing.assert_close(found, nn.BatchNorm2d(3)(X))
    assert not isinstance(norm.eval()(X), Deferred)
    torch._dynamo.reset()
