"""CIFAR-10 ResNets that others trained, and the images: what several tests measure accuracy on."""

import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from openwork.data import Split, load

_SHARED = Path(__file__).resolve().parents[1].parent / "shared"
DATA = Path(os.environ.get("OPENWORK_DATA") or _SHARED / "datasets")
PRETRAINED = DATA.parent / "pretrained"
# Of each depth, how many of the 10,000 test images are classified correctly.
CORRECT = {20: 9173, 32: 9263, 44: 9310, 56: 9339}
# The same of the first 2,500: a quarter of the time.
FIRST = 2500
CORRECT_OF_FIRST = {20: 2290, 56: 2318}


class Block(nn.Module):
    """Two convolutions, and a shortcut that takes every second pixel and pads channels."""

    def __init__(self, inside: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        self.more = (out - inside) // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
        return F.relu(x + y)


class ResNet(nn.Module):
    """He et al. 2016, option A."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        for stage, (inside, out) in enumerate([(16, 16), (16, 32), (32, 64)], start=1):
            rest = [Block(out, out, 1) for _ in range((depth - 2) // 6 - 1)]
            self.add_module(
                f"layer{stage}", nn.Sequential(Block(inside, out, 1 if stage == 1 else 2), *rest)
            )
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in (1, 2, 3):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.linear(x.mean((2, 3)))


def trained(depth: int) -> ResNet:
    """The network of this depth with its weights; the test is skipped where they are not."""
    path = PRETRAINED / f"resnet{depth}-cifar10.safetensors"
    if not path.exists():
        pytest.skip(f"{path.name} is not in {PRETRAINED}")
    model = ResNet(depth)
    model.load_state_dict(load_file(path))
    return model.eval()


def held_out(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first test images, normalised as in training, and their labels."""
    if not (DATA / "cifar10").exists():
        pytest.skip(f"cifar10 is not in {DATA}; set OPENWORK_DATA to a folder that holds it")
    split = load("cifar10", root=DATA).test
    images = normalised(split, count)
    return images, torch.tensor(split.labels[:count])


def normalised(split: Split, count: int) -> torch.Tensor:
    """The first images of a split as the networks were trained on them."""
    images = torch.tensor(split.images[:count]).float() / 255
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    return (images - mean) / std


def training_images(count: int) -> torch.Tensor:
    """Some images to find ranges with, which are not among those."""
    return normalised(load("cifar10", root=DATA).train, count)


@torch.no_grad()
def classes(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The class of each image."""
    # In this order of numbers torch takes two thirds of the time.
    kind = torch.channels_last
    model = model.to(memory_format=kind)  # type: ignore[call-overload]
    images = images.contiguous(memory_format=kind)
    return torch.cat([model(batch).argmax(1) for batch in images.split(250)])
