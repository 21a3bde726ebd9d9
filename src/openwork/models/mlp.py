"""Multi-layer perceptrons whose widths are part of the name."""

import re

from torch import nn

from openwork.errors import ArgumentError
from openwork.models.initialise import initialise_
from openwork.models.source import ModelSource
from openwork.patterns import depth_multiplier


def mlp(source: ModelSource) -> nn.Module:
    """A multi-layer perceptron: `mlp:` and the widths from input to classes, as in mlp:784-100-10.

    Flatten, then Linear layers with ReLU between them, `(N, C, H, W) -> (N, num_classes)`. The
    first width must be in_channels * image_size**2 and the last one num_classes; the depth
    multiplier scales the widths between. mlp:784-100-10 has 79,510 parameters.

    "Characterizing Sparse Connectivity Patterns in Neural Networks" (arXiv 1711.02131) names its
    networks by such width lists, for instance [1024,64,16]; ReLU is from the authors' code.

    Raises:
        ArgumentError: the widths are not at least two positive integers joined by "-", or the
            first or last of them does not fit the image or the classes.
    """
    widths = _widths(source.name)
    inputs = source.in_channels * source.image_size**2
    if widths[0] != inputs:
        raise ArgumentError(
            f"`name` is {source.name!r}: its first width {widths[0]} must equal in_channels * "
            f"image_size**2 = {source.in_channels} * {source.image_size}**2 = {inputs}. Change the "
            "width, or pass the `in_channels` and `image_size` of the data."
        )
    if widths[-1] != source.num_classes:
        raise ArgumentError(
            f"`name` is {source.name!r}: its last width {widths[-1]} must equal `num_classes`, "
            f"which is {source.num_classes}. Change one of the two."
        )
    hidden = [depth_multiplier(width, source.depth_multiplier) for width in widths[1:-1]]
    layers: list[nn.Module] = [nn.Flatten()]
    features = inputs
    for width in hidden:
        layers += [nn.Linear(features, width), nn.ReLU()]
        features = width
    layers.append(nn.Linear(features, source.num_classes))
    model = nn.Sequential(*layers)
    initialise_(model)
    return model


def _widths(name: str) -> list[int]:
    parts = name.partition(":")[2].split("-")
    # At most 15 digits: no layer is wider, and Python refuses to convert thousands of digits.
    if len(parts) < 2 or not all(
        re.fullmatch(r"0*[1-9]\d{0,14}", part, re.ASCII) for part in parts
    ):
        raise ArgumentError(
            f"`name` is {name!r}: after `mlp:` come at least two positive integers joined by '-', "
            "from the inputs to the classes. Write for instance mlp:784-100-10."
        )
    return [int(part) for part in parts]
