"""`openwork compact`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from torch import nn

from openwork import io
from openwork._files import writable_folder
from openwork.channels import compact as compact_model
from openwork.cli import options
from openwork.cli.run import example_for, model_path
from openwork.cli.trained import trained
from openwork.train import evaluate


def compact(
    run: options.Run,
    out: Annotated[Path, typer.Option(help="Folder for the smaller network.")],
    gamma_below: Annotated[
        float | None,
        typer.Option(
            help="Take smaller scales for zero; changes outputs, and the accuracy is measured."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="For --gamma-below: another data set than the one it was trained on."),
    ] = None,
    data_root: options.DataRoot = None,
    round_to: Annotated[
        int | None, typer.Option(help="Keep dead channels up to multiples of this.")
    ] = None,
) -> None:
    """A smaller network that computes the same, without dead channels."""
    path = model_path(run)
    info, example = io.info(path), example_for(path, 2)
    accuracy = None if gamma_below is None else _accuracy(run, data, data_root)
    small, proof = compact_model(
        io.load(path), example, gamma_below=gamma_below, round_to=round_to, evaluate=accuracy
    )
    target = writable_folder(out, "out") / "model.safetensors"
    io.save(small, target, plan=info.plan, metrics=info.metrics)
    proof.print()
    Console().print(f"saved: {target}", soft_wrap=True)


def _accuracy(run: Path, data: str | None, data_root: Path | None) -> Callable[[nn.Module], float]:
    """Test accuracy of a model, on what the network in `run` was trained for."""
    held = trained(run, data, data_root).dataset
    return lambda model: evaluate(model, held).accuracy
