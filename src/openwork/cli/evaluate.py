"""`openwork eval`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from openwork import data as datasets
from openwork import io
from openwork.cli import options
from openwork.cli.run import model_path
from openwork.errors import ArgumentError
from openwork.nn import LayerTable
from openwork.train import evaluate as evaluate_model


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a checkpoint.")],
    data: Annotated[
        str | None, typer.Option(help="Another data set than the one it was trained on.")
    ] = None,
    data_root: options.DataRoot = None,
    device: options.Device = "cpu",
) -> None:
    """Test accuracy and live weights of a trained network."""
    path = model_path(run)
    info = io.info(path)
    name = data or info.metrics.get("data")
    if name is None or info.source is None:
        raise ArgumentError(
            f"`run`={str(run)!r} does not say what it was trained on; pass --data, and for a model "
            "that openwork did not build use openwork.load"
        )
    size = info.source.image_size if name.startswith("folder:") else None
    dataset = datasets.load(name, data_root, image_size=size)
    model = io.load(path, device=device)
    result = evaluate_model(model, dataset)
    rows = (
        ("model", info.source.name),
        ("data", f"{dataset.name}, {result.count:,} test images"),
        ("test accuracy", f"{result.accuracy:.2%}"),
        ("test loss", f"{result.loss:.4f}"),
        ("live parameters", f"{sum(p.numel() for p in model.parameters()):,}"),
        ("checkpoint", f"{path.stat().st_size / 1e3:,.0f} KB"),
    )
    LayerTable(("what", "measured"), rows, justify="left").print(Console())
