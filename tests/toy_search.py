"""A network and an error that depends on its weights only: fast, and the same on every machine."""

import itertools

import torch
from torch import nn


def toy_network() -> nn.Sequential:
    """Two convolutions that can be cut, between two that are protected."""
    torch.manual_seed(2)
    sizes = (3, 6, 8, 8, 4)
    pairs = itertools.pairwise(sizes)
    return nn.Sequential(*[nn.Conv2d(i, o, 3, padding=1) for i, o in pairs]).eval()


def toy_error(model: nn.Module, share: float) -> float:
    """Mean squared difference from the uncut network's outputs, on the first share of inputs."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(256, 3, 5, 5, generator=generator)[: max(1, round(share * 256))]
    with torch.no_grad():
        whole = toy_network()(inputs)
        return float((model(inputs) - whole).square().mean())
