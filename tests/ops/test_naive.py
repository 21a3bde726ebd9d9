"""The reference is torch's dense operator on the expanded weight."""

import torch
import torch.nn.functional as F

from openwork.ops import naive

GAPS = torch.tensor([0, 3], dtype=torch.uint8)
WEIGHT = torch.tensor([2.0, -1.0])


def test_linear() -> None:
    x = torch.tensor([[1.0, 10.0], [3.0, 4.0]])
    assert naive.linear(x, WEIGHT, GAPS, torch.tensor([0.5, 0.0]), (2, 2)).tolist() == [
        [2.5, -10.0],
        [6.5, -4.0],
    ]


def test_conv2d_with_stride_padding_and_groups() -> None:
    x = torch.randn(2, 2, 5, 5)
    dense = torch.tensor([[2.0, 0.0], [0.0, -1.0]]).view(2, 1, 1, 2)
    expected = F.conv2d(x, dense, None, (2, 1), (0, 1), (1, 2), 2)
    found = naive.conv2d(x, WEIGHT, GAPS, None, (2, 1, 1, 2), (2, 1), (0, 1), (1, 2), 2)
    assert torch.equal(found, expected)


def test_weights_that_are_all_live_are_not_copied() -> None:
    weight, gaps = torch.randn(6), torch.tensor([0, 1, 1, 1, 1, 1], dtype=torch.uint8)
    x, gradient = torch.randn(4, 3), torch.randn(4, 2)
    assert torch.equal(naive.linear(x, weight, gaps, None, (2, 3)), F.linear(x, weight.view(2, 3)))
    found = naive.linear_gradients(gradient, x, weight, gaps, (2, 3), (True, True, True))
    of_input, of_weight, _ = found
    assert of_input is not None
    assert torch.equal(of_input, gradient @ weight.view(2, 3))
    assert of_weight is not None
    assert torch.equal(of_weight, (gradient.t() @ x).flatten())
