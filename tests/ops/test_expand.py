"""Live weights to the dense tensor and back."""

import torch

from openwork.ops.expand import collect, expand


def test_single_taps_and_whole_connections() -> None:
    gaps = torch.tensor([1, 2], dtype=torch.uint8)  # positions 1 and 3
    taps = expand(torch.tensor([5.0, 7.0]), gaps, (2, 2))
    assert taps.tolist() == [[0, 5], [0, 7]]
    whole = expand(torch.arange(1.0, 5.0), gaps, (2, 2, 1, 2))
    assert whole.tolist() == [[[[0, 0]], [[1, 2]]], [[[0, 0]], [[3, 4]]]]
    assert collect(whole, gaps, 4).tolist() == [1, 2, 3, 4]


def test_nothing_may_live() -> None:
    empty = torch.zeros(0, dtype=torch.uint8)
    assert expand(torch.zeros(0), empty, (2, 3)).tolist() == [[0] * 3] * 2


def test_gradients_are_right_to_the_second_order() -> None:
    gaps = torch.tensor([0, 3], dtype=torch.uint8)
    weight = torch.randn(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda w: expand(w, gaps, (2, 2)).square(), (weight,))
