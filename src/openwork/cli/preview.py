"""`openwork preview`."""

from pathlib import Path
from typing import Annotated

import typer

from openwork import models
from openwork.cli import options
from openwork.cli.run import random_images
from openwork.nn import Plan


def preview(
    model: options.Model,
    plan: Annotated[Path, typer.Option(help="YAML: layer globs to patterns.")],
    classes: Annotated[int, typer.Option(help="Outputs of the network.")] = 10,
    channels: Annotated[int, typer.Option(help="Channels of its images.")] = 3,
    image_size: Annotated[int, typer.Option(help="Height and width of its images.")] = 32,
    depth_multiplier: options.Depth = 1.0,
) -> None:
    """Show what a plan would do to a network, layer by layer."""
    network = models.build(
        model,
        num_classes=classes,
        in_channels=channels,
        image_size=image_size,
        depth_multiplier=depth_multiplier,
    )
    Plan.from_yaml(plan).preview(network, random_images(1, channels, image_size))
