"""How far two results are apart, and how far float32 takes a network from itself."""

import pytest
import torch
from torch import nn

from openwork.verify import difference, rounding


class _Amplifying(nn.Module):
    """Takes away nearly all of a number, and with it nearly all digits that were right."""

    def __init__(self, times: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1 / 3))
        self.times = times

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight * self.times + x - x * self.weight * self.times


@pytest.mark.parametrize(
    ("expected", "found", "apart"),
    [
        (torch.tensor([1.0, -4.0]), torch.tensor([1.0, -3.0]), 0.25),
        (torch.tensor([torch.nan]), torch.tensor([torch.nan]), 0.0),
        (torch.tensor([torch.nan]), torch.tensor([1.0]), float("inf")),
        (torch.tensor([torch.inf, 1.0]), torch.tensor([torch.inf, 1.5]), 0.5),
        (torch.zeros(2), torch.zeros(3), float("inf")),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64), float("inf")),
        (torch.empty(0), torch.empty(0), 0.0),
        (torch.tensor([3 + 4j]), torch.tensor([3 + 2j]).conj().resolve_conj().conj(), 0.5),
        (3, 3, 0.0),
        (3, 3.0, float("inf")),
    ],
    ids=range(10),
)
def test_relative_to_the_largest(expected: object, found: object, apart: float) -> None:
    assert difference(expected, found) == apart


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
