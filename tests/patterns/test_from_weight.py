"""The pattern that a weight tensor has."""

import pytest
import torch

from openwork.errors import ArgumentError
from openwork.patterns import dense, from_weight


def _weight() -> torch.Tensor:
    weight = torch.zeros(3, 2, 3, 3)
    weight[0, 1] = 1.0
    weight[2, 0, 1, 2] = -0.5
    return weight


def test_a_kernel_lives_if_any_of_its_taps_does() -> None:
    pattern = from_weight(_weight())
    assert pattern.connections.tolist() == [[0, 1], [2, 0]]
    assert pattern.live == 18


def test_taps_can_be_told_apart() -> None:
    pattern = from_weight(_weight(), granularity="tap")
    assert torch.equal(torch.from_numpy(pattern.taps), _weight() != 0)


def test_a_full_weight_is_dense_whatever_its_dtype_and_groups() -> None:
    assert from_weight(torch.ones(4, 6, dtype=torch.bfloat16)) == dense(4, 6)
    assert from_weight(torch.ones(4, 3, 1, 1), groups=2) == dense(4, 6, 1, groups=2)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.full((2, 2), float("nan")), "holds NaN"),
        (torch.ones(2, 2, dtype=torch.int32), "floating point"),
        (torch.ones(2, 2, 2), r"shape \(2, 2, 2\)"),
    ],
)
def test_what_is_no_weight_is_refused(weight: torch.Tensor, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        from_weight(weight)


def test_an_unknown_granularity_is_refused() -> None:
    with pytest.raises(ArgumentError, match="'connection', 'tap'"):
        from_weight(_weight(), granularity="filter")
