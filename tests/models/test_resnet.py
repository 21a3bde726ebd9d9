"""The CIFAR ResNets: size by hand, and the parameter-free shortcut."""

import pytest
import torch
from torch import nn

from openwork.models import build
from openwork.models.resnet import BasicBlock


@pytest.mark.parametrize(
    ("name", "width", "total"), [("resnet32", 16, 464_154), ("resnet32x2", 32, 1_849_898)]
)
def test_parameters(name: str, width: int, total: int) -> None:
    first = 3 * width * 9 + 2 * width
    stages = 10 * (9 * width**2 + 2 * width)
    for out in (2 * width, 4 * width):
        stages += 9 * out * out // 2 + 9 * (9 * out**2) + 10 * 2 * out
    model = build(name)
    count = sum(p.numel() for p in model.parameters())
    assert count == first + stages + 4 * width * 10 + 10 == total


def test_thirty_one_convolutions_and_no_bias() -> None:
    convolutions = [m for m in build("resnet32").modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 31
    assert all(layer.bias is None for layer in convolutions)


@pytest.mark.parametrize("side", [8, 9])
def test_the_shortcut_subsamples_and_appends_zeros(side: int) -> None:
    block = BasicBlock(4, 7, stride=2)
    x = torch.randn(2, 4, side, side)
    expected = torch.zeros(2, 7, (side + 1) // 2, (side + 1) // 2)
    expected[:, :4] = x[:, :, ::2, ::2]
    torch.testing.assert_close(block.shortcut(x), expected, rtol=0, atol=0)
    assert not list(block.shortcut.parameters())


def test_a_block_whose_second_norm_is_zero_passes_its_shortcut() -> None:
    block = BasicBlock(4, 4, stride=1)
    nn.init.zeros_(block.bn2.weight)
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(block(x), x.relu(), rtol=0, atol=0)
