"""`rounding`: how far a network in float32 is from itself in float64."""

import threading
from typing import Any

import torch
from torch import nn

from openwork.verify import rounding


class _Amplifying(nn.Module):
    """Subtracts nearly all of a number, and with it nearly all correct digits."""

    def __init__(self, times: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1 / 3))
        self.times = times

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight * self.times + x - x * self.weight * self.times


def test_rounding_tells_networks_that_amplify_it() -> None:
    x = torch.linspace(0.5, 1, 7)
    assert 1e-8 < rounding(nn.Sequential(nn.Linear(7, 7), nn.Tanh()), (x,)) < 1e-6
    model = _Amplifying(1e5).train()
    # 1e5 times as large numbers, each off by half an ulp.
    assert 1e-4 < rounding(model, (x,)) < 1e-1
    assert model.training
    assert model.weight.dtype == torch.float32


def test_rounding_of_what_does_not_run_in_double() -> None:
    class Single(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x.float())

    assert rounding(Single(), (torch.rand(3),)) == 0.0


def test_rounding_of_what_cannot_be_copied() -> None:
    class Only(nn.Linear):
        def __deepcopy__(self, memo: object) -> "Only":
            raise RuntimeError("there is one only")

    assert rounding(Only(3, 3), (torch.rand(2, 3),)) == 0.0


def test_rounding_of_what_holds_a_lock() -> None:
    # A few short sums are exact now and then.
    model: Any = nn.Linear(64, 64)
    model.lock = threading.Lock()
    assert 0 < rounding(model, (torch.rand(8, 64),)) < 1e-5
