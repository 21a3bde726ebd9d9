"""What the studies of dead channels share: BasicNet, its images, and how dead channels are seen.

Source: "On Implicit Filter Level Sparsity in Convolutional Neural Networks" (2019).
"""

import dataclasses

import numpy as np
import torch
from _grid import Settings
from _study import first_samples, loaded
from torch import nn

import openwork as ow
from openwork.data import Batches, DataSet, Split
from openwork.observe import ChannelReport


def images(settings: Settings) -> DataSet:
    """The data set; digits are padded to 32x32 and averaged over 2x2 pixels.

    In a short run, a task as hard as CIFAR-10 leaves hardly any channel dead.
    """
    data = first_samples(loaded(settings["data"]), settings["train"], settings["test"])
    if data.channels > 1:
        return data
    return dataclasses.replace(data, train=_halved(data.train), test=_halved(data.test))


def _halved(split: Split) -> Split:
    images = np.pad(split.images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    count, channels, height, width = images.shape
    blocks = images.reshape(count, channels, height // 2, 2, width // 2, 2)
    return Split(blocks.mean((3, 5)).round().astype(images.dtype), split.labels)


def build(data: DataSet, width: float, seed: int) -> nn.Module:
    """BasicNet with random weights."""
    torch.manual_seed(seed)
    return ow.models.build(
        "basicnet",
        in_channels=data.channels,
        image_size=data.image_size[0],
        depth_multiplier=width,
    )


def watch(model: nn.Module, data: DataSet) -> ChannelReport:
    """What `openwork.observe` sees in the convolutions, over all training images."""
    device = next(model.parameters()).device
    batches = Batches.in_order(data.train, data.mean, data.std, device=device)
    report = ow.observe(model, batches.epoch(0))
    layers = tuple(layer for layer in report.layers if layer.name.startswith("features"))
    return dataclasses.replace(report, layers=layers)
