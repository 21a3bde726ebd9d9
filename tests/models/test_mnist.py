"""mnist_3conv against numbers worked out by hand."""

import torch
from torch import nn

from openwork.models import build


def multiply_adds(model: nn.Module, side: int) -> int:
    """Multiply-adds of one `1 x side x side` image in convolutions and linear layers."""
    total = 0

    def count(layer: nn.Module, _: object, y: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        total += y[0].numel() * layer.weight[0].numel()

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        model.eval()(torch.zeros(1, 1, side, side))
    return total


def test_parameters_and_multiply_adds() -> None:
    model = build("mnist_3conv", in_channels=1, image_size=28)
    convolutions = 1 * 32 * 9 + 32 + 32 * 64 * 9 + 64 + 64 * 128 * 9 + 128
    assert convolutions == 92_672
    assert sum(p.numel() for p in model.parameters()) == convolutions + 128 * 9 * 10 + 10 == 104_202
    by_hand = 28**2 * 9 * 32 + 14**2 * 9 * 32 * 64 + 7**2 * 9 * 64 * 128 + 128 * 9 * 10
    assert multiply_adds(model, 28) == by_hand == 7_462_656


def test_no_batch_norm_and_a_bias_in_every_convolution() -> None:
    model = build("mnist_3conv", in_channels=1, image_size=28)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.bias is not None for layer in convolutions] == [True] * 3
