"""The VGG networks against numbers worked out by hand."""

import pytest
import torch
from torch import nn

from openwork.models import build

VGG16 = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
VGG19 = [64, 64, 128, 128, *[256] * 4, *[512] * 8]


def convolutions_and_norms(in_channels: int, widths: list[int]) -> int:
    pairs = zip([in_channels, *widths], widths, strict=False)
    return sum(9 * before * width + 2 * width for before, width in pairs)


@pytest.mark.parametrize(
    ("name", "widths", "total"),
    [("vgg16-cifar", VGG16, 14_724_042), ("vgg19-cifar", VGG19, 20_035_018)],
)
def test_cifar_parameters(name: str, widths: list[int], total: int) -> None:
    model = build(name)
    by_hand = convolutions_and_norms(3, widths) + 512 * 10 + 10
    assert sum(p.numel() for p in model.parameters()) == by_hand == total


def test_vgg16n_parameters() -> None:
    model = build("vgg16n", image_size=224, num_classes=1000)
    count = sum(p.numel() for p in model.parameters())
    by_hand = convolutions_and_norms(3, [*VGG16, 1024]) + 1024 * 1000 + 1000
    assert count == by_hand == 20_464_552
    assert abs(count / 20.5e6 - 1) < 0.01


def test_vgg16n_ends_in_one_position() -> None:
    model = build("vgg16n", image_size=224, depth_multiplier=0.02).eval()
    features = model.get_submodule("features")
    with torch.no_grad():
        assert features(torch.randn(1, 3, 224, 224)).shape == (1, 21, 1, 1)


def test_vgg_small_parameters_and_multiply_adds() -> None:
    model = build("vgg-small", in_channels=1, image_size=28)
    by_hand = convolutions_and_norms(1, [32, 32, 64, 64, 128, 128]) + 128 * 9 * 10 + 10
    assert sum(p.numel() for p in model.parameters()) == by_hand == 298_410
    sides = [28, 28, 14, 14, 7, 7]
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    multiply_adds = sum(
        side**2 * layer.weight.numel() for side, layer in zip(sides, convolutions, strict=True)
    )
    assert multiply_adds + 128 * 9 * 10 == 29_138_688
