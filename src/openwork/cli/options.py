"""Options shared by several commands."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from openwork import data as datasets
from openwork._machine import device_named


def one_of(names: Iterable[str]) -> str:
    """The names as a choice in a sentence.

    >>> one_of(["l1", "l2", "random"])
    'l1, l2 or random'
    """
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


Run = Annotated[
    Path | None,
    typer.Argument(
        help="A run's folder, or a file that openwork wrote; or leave it out, and give --model and "
        "--weights."
    ),
]
OtherData = Annotated[str | None, typer.Option(help="Data set; default the one it was trained on.")]
Model = Annotated[
    str,
    typer.Option(
        help="Name of a network: vgg16-cifar, mlp:784-100-10, timm:resnet18, ...; or file.py:NAME, "
        "a class or function in a file of yours, which is run."
    ),
]
OwnModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="The network that the run or --weights belong to, where the run does not name it: "
        "file.py:NAME, or a name as for train.",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        help="Weights for --model from another program: safetensors, or a file of torch.save that "
        "holds tensors only."
    ),
]
Data = Annotated[str, typer.Option(help=f"{', '.join(datasets.names())}, or folder:PATH.")]
DataRoot = Annotated[
    Path | None,
    typer.Option(help="Folder of the data sets; default OPENWORK_DATA, else the hub."),
]
ImageSize = Annotated[
    int | None, typer.Option(help="For folder:PATH: resize and crop images to this many pixels.")
]
_PER_CHANNEL = "per channel in units of 0 to 1, as in 0.485,0.456,0.406."
Mean = Annotated[
    str | None,
    typer.Option(
        help=f"Mean of the images, {_PER_CHANNEL} Default: that of the training; with --weights "
        "that of published ones, where it is known; else of the data."
    ),
]
Std = Annotated[
    str | None,
    typer.Option(help=f"Standard deviation of the images, {_PER_CHANNEL} Default as for --mean."),
]
Classes = Annotated[int, typer.Option(help="Outputs of --model.")]
Channels = Annotated[int, typer.Option(help="Channels of the images of --model.")]
Side = Annotated[
    int, typer.Option("--image-size", help="Height and width of the images of --model.")
]
Layers = Annotated[
    list[str] | None, typer.Option(help="Layer globs; default all but first and last.")
]
Fuse = Annotated[
    bool,
    typer.Option(
        "--fuse",
        help="Train faster on a CPU: batch norms compute the ReLUs and sums behind them, and "
        "depthwise convolutions run on native kernels.",
    ),
]
HeldOut = Annotated[
    float, typer.Option(help="Share of the training images held out to judge cuts on.")
]
Ray = Annotated[
    str | None,
    typer.Option(
        help="Share the work over a Ray cluster: local starts one on this machine, auto finds the "
        "one that runs here, else HOST:PORT."
    ),
]
PlanFile = Annotated[
    Path | None,
    typer.Option("--plan", help="YAML: layer globs to patterns, or a budget for the network."),
]
Depth = Annotated[float, typer.Option(help="Factor on the width of every hidden layer.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.", callback=device_named)]
