"""Options shared by several commands."""

from pathlib import Path
from typing import Annotated

import typer

from openwork._machine import device_named

Run = Annotated[Path, typer.Argument(help="A run's folder, or a checkpoint.")]
OtherData = Annotated[str | None, typer.Option(help="Data set; default the one it was trained on.")]
Model = Annotated[
    str, typer.Option(help="Name of a network: vgg16-cifar, mlp:784-100-10, timm:resnet18, ...")
]
Data = Annotated[
    str, typer.Option(help="mnist-subset, mnist, cifar10, cifar100, morse, or folder:PATH.")
]
DataRoot = Annotated[
    Path | None,
    typer.Option(help="Folder of the data sets; default OPENWORK_DATA, else the hub."),
]
ImageSize = Annotated[
    int | None, typer.Option(help="For folder:PATH: resize and crop images to this many pixels.")
]
PlanFile = Annotated[Path | None, typer.Option("--plan", help="YAML: layer globs to patterns.")]
Depth = Annotated[float, typer.Option(help="Factor on the width of every hidden layer.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.", callback=device_named)]
