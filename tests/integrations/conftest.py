"""A network and images so small that a real trainer is done in a second."""

import contextlib
from collections.abc import Callable

import pytest
import torch
from torch import nn

from openwork.errors import MissingPackageError
from openwork.models.zoo import import_zoo
from openwork.nn import Plan

# Lightning imports torchvision, whose build for CUDA fails beside a torch without it.
with contextlib.suppress(MissingPackageError):
    import_zoo("torchvision")


@pytest.fixture
def plan() -> Plan:
    return Plan({"conv:*": {"pattern": "random", "density": 0.25}, "*0": "dense"})


@pytest.fixture
def make() -> Callable[[], nn.Sequential]:
    """`make()`: a dense network for images (N, 3, 8, 8), the same each time."""

    def made() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 4),
        )

    return made


@pytest.fixture
def images() -> tuple[torch.Tensor, torch.Tensor]:
    """24 images (24, 3, 8, 8) and their labels (24,)."""
    draw = torch.Generator().manual_seed(1)
    labels = torch.arange(24) % 4
    return torch.randn(24, 3, 8, 8, generator=draw) + labels[:, None, None, None], labels
