"""One initialisation for all: He-normal weights, zero biases, neutral batch norms."""

import torch
from torch import nn

from openwork.models import build


def test_weights_biases_and_batch_norms() -> None:
    torch.manual_seed(0)
    model = build("cnn_small", image_size=4)
    seen = set()
    for layer in model.modules():
        seen.add(type(layer))
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = layer.weight[0].numel()
            if layer.weight.numel() > 10_000:
                deviation = float(layer.weight.detach().std())
                assert abs(deviation - (2 / fan_in) ** 0.5) < 0.03 * (2 / fan_in) ** 0.5
            assert layer.bias is None or not layer.bias.any()
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            assert torch.equal(layer.weight, torch.ones_like(layer.weight))
            assert not layer.bias.any()
    assert {nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d} <= seen


def test_the_global_seed_fixes_the_weights() -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        model = build("resnet32", depth_multiplier=0.25)
        states.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
