"""The CIFAR MobileNet: size by hand, and its two kinds of convolutions."""

import itertools

import torch
from torch import nn

from openwork.models import build

WIDTHS = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]


def test_parameters() -> None:
    by_hand = 3 * 32 * 9 + 2 * 32
    for before, width in itertools.pairwise(WIDTHS):
        by_hand += 9 * before + 2 * before + before * width + 2 * width
    by_hand += 1024 * 10 + 10
    assert sum(p.numel() for p in build("mobilenet").parameters()) == by_hand == 3_217_226


def test_depthwise_and_pointwise_convolutions_by_turns() -> None:
    first, *others = [m for m in build("mobilenet").modules() if isinstance(m, nn.Conv2d)]
    assert first.groups == 1
    assert len(others) == 26
    assert all(m.groups == m.in_channels == m.out_channels for m in others[::2])
    assert all(m.groups == 1 and m.kernel_size == (1, 1) for m in others[1::2])


def test_four_halvings() -> None:
    features = build("mobilenet", depth_multiplier=0.05).get_submodule("features").eval()
    with torch.no_grad():
        assert features(torch.randn(1, 3, 33, 33)).shape[2:] == (3, 3)
