"""A header's sizes cannot make a process allocate more than its file holds."""

import pytest
import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.io.bounded import Bounded, described


def test_what_is_within_the_limit_is_made() -> None:
    with Bounded(100):
        assert torch.zeros(10, 10).sum() == 0
        assert nn.Linear(9, 10).weight.shape == (10, 9)


@pytest.mark.parametrize("make", [torch.zeros, torch.empty, torch.ones])
def test_what_is_larger_is_refused(make) -> None:
    with Bounded(100), pytest.raises(ArgumentError, match=r"shape \(101, 1\) is larger than all"):
        make(101, 1)
    assert make(101, 1).numel() == 101


def test_the_limit_counts_dead_weights_and_never_falls_below_what_is_harmless() -> None:
    tensors = {"weight": torch.zeros(10)}
    assert described(tensors, {}) == 1 << 24
    assert described(tensors, {"0": {"shape": [1 << 13, 1 << 13]}}) == 10 + (1 << 26)
