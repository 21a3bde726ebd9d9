"""Build a network for a data set."""

from torch import nn

from openwork import data, models
from openwork.errors import ArgumentError


def build_for(dataset: data.DataSet, name: str, depth_multiplier: float) -> nn.Module:
    """The network called `name` for the images and classes of `dataset`.

    Raises:
        ArgumentError: the images are not square.
    """
    height, width = dataset.image_size
    if height != width:
        raise ArgumentError(
            f"`data`={dataset.name!r} has images of {height}x{width} pixels, but named networks "
            "need square images; pass --image-size"
        )
    return models.build(
        name,
        num_classes=dataset.num_classes,
        in_channels=dataset.channels,
        image_size=height,
        depth_multiplier=depth_multiplier,
    )
