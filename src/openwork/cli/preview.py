"""`openwork preview`."""

from pathlib import Path
from typing import Annotated

import typer

from openwork.cli import options
from openwork.cli.build import Sizes, build_named
from openwork.cli.run import random_images
from openwork.nn import Plan


def preview(
    model: options.Model,
    plan: Annotated[
        Path, typer.Option(help="YAML: layer globs to patterns, or a budget for the network.")
    ],
    classes: Annotated[int, typer.Option(help="Outputs of the network.")] = 10,
    channels: Annotated[int, typer.Option(help="Channels of its images.")] = 3,
    image_size: Annotated[int, typer.Option(help="Height and width of its images.")] = 32,
    depth_multiplier: options.Depth = 1.0,
) -> None:
    """Show what a plan would do to a network, layer by layer."""
    network = build_named(model, Sizes(classes, channels, image_size), depth_multiplier)
    example = random_images(1, channels, image_size)
    Plan.from_yaml(plan, network, example).preview(network, example)
