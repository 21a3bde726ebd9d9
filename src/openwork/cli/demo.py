"""`openwork demo`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import torch
import typer

from openwork import data, models
from openwork.cli import options
from openwork.cli.say import say
from openwork.demo import MODEL, PLAN, RECIPE
from openwork.demo import demo as run_demo
from openwork.nn import Plan


def demo(
    out: Annotated[Path, typer.Option(help="Folder for both runs.")] = Path("demo"),
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = RECIPE.epochs,
    plan: options.PlanFile = None,
) -> None:
    """Train a dense and a sparse network on a part of MNIST, and compare them."""
    comparison = run_demo(
        out,
        recipe=dataclasses.replace(RECIPE, epochs=epochs),
        plan=_plan(plan) if plan else PLAN,
    )
    comparison.table().print()
    say(f"checkpoints, metrics and comparison.json are in {out}")


def _plan(path: Path) -> Plan:
    dataset = data.load("mnist-subset")
    side, _ = dataset.image_size
    model = models.build(MODEL, in_channels=dataset.channels, image_size=side)
    return Plan.from_yaml(path, model, torch.zeros(1, dataset.channels, side, side))
