"""Build a network by the name that a command was given."""

from typing import NamedTuple

from torch import nn

from openwork import data, models
from openwork.errors import ArgumentError
from openwork.models.own import is_own


class Sizes(NamedTuple):
    """What a network is built for: its classes, and the channels and side of its images."""

    classes: int
    channels: int
    side: int


def sizes_of(dataset: data.DataSet) -> Sizes:
    """The sizes of the images and classes of `dataset`.

    Raises:
        ArgumentError: the images are not square.
    """
    height, width = dataset.image_size
    if height != width:
        raise ArgumentError(
            f"`data`={dataset.name!r} has images of {height}x{width} pixels, but named networks "
            "need square images; pass --image-size"
        )
    return Sizes(dataset.num_classes, dataset.channels, height)


def build_named(name: str, sizes: Sizes, depth_multiplier: float = 1.0) -> nn.Module:
    """The network called `name`, or the one in a file, as in `net.py:Net`.

    Raises:
        ArgumentError: as for `models.build` and `models.from_file`.
    """
    if not is_own(name):
        return models.build(
            name,
            num_classes=sizes.classes,
            in_channels=sizes.channels,
            image_size=sizes.side,
            depth_multiplier=depth_multiplier,
        )
    if depth_multiplier != 1:
        raise ArgumentError(
            f"`depth_multiplier`={depth_multiplier} applies to named networks only; change the "
            f"widths in {name.rpartition(':')[0]}"
        )
    return models.from_file(
        name, num_classes=sizes.classes, in_channels=sizes.channels, image_size=sizes.side
    )


def build_for(dataset: data.DataSet, name: str, depth_multiplier: float) -> nn.Module:
    """The network called `name` for the images and classes of `dataset`.

    Raises:
        ArgumentError: the images are not square, or as for `build_named`.
    """
    return build_named(name, sizes_of(dataset), depth_multiplier)
