"""`openwork predict`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from openwork._terminal import counted
from openwork.cli.normalise import numbers
from openwork.cli.run import naming
from openwork.cli.say import say
from openwork.predict import predict as predict_images
from openwork.train.progress import progress_bar

_SHOWN = 20


def predict(
    network: Annotated[
        Path,
        typer.Argument(help="A compiled network, packed or not, or an ONNX file."),
    ],
    images: Annotated[list[Path], typer.Argument(help="Folders of images, and images.")],
    table: Annotated[Path, typer.Option("--csv", help="File for the classes.")] = Path(
        "predictions.csv"
    ),
    batch: Annotated[int, typer.Option(help="Images per call.")] = 32,
    workers: Annotated[
        int, typer.Option(help="Processes, which share the memory of one packed file.")
    ] = 1,
    threads: Annotated[
        int | None, typer.Option(help="Threads of each process; default all, divided among them.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Mean of the images; default that of the training, else 0.")
    ] = None,
    std: Annotated[
        str | None, typer.Option(help="Their deviation; default that of the training, else 1.")
    ] = None,
) -> None:
    """Write the class of every image to a CSV file. Exits with status 1 if one cannot be read."""
    bars = progress_bar(Console(stderr=True))
    with naming("csv", "table"), naming("network"), bars as bar:
        task = bar.add_task("predict", total=None)
        result = predict_images(
            network,
            images,
            table,
            batch=batch,
            workers=workers,
            threads=threads,
            mean=numbers("mean", mean),
            std=numbers("std", std),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    for path, fault in result.faults[:_SHOWN]:
        say(f"{path}: {fault}", error=True)
    if len(result.faults) > _SHOWN:
        say(f"and {len(result.faults) - _SHOWN:,} more", error=True)
    rate = (result.images + len(result.faults)) / max(result.seconds, 1e-9)
    say(
        f"{counted(result.images, 'image')} in {result.seconds:.1f} s, {rate:,.0f} per second, "
        f"pixels {result.normalisation}: {table}"
    )
    if result.faults:
        say(f"{counted(len(result.faults), 'image')} could not be read", error=True)
        raise typer.Exit(1)
