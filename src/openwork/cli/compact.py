"""`openwork compact`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from torch import nn

from openwork import io
from openwork._files import writable_folder
from openwork._identity import digest_of
from openwork.cli import options
from openwork.cli.result_path import result_path
from openwork.cli.run import example_for, model_path
from openwork.cli.say import say
from openwork.cli.trained import trained
from openwork.compact import compact as compact_model
from openwork.data import DataSet
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
    held = None if gamma_below is None else trained(run, data, data_root).dataset
    model = io.load(path)
    by = {"command": "compact", "model": digest_of(model)}
    target = result_path(out, run, by)
    writable_folder(out, "out")
    accuracy = None if held is None else _accuracy(held)
    small, report = compact_model(
        model, example, gamma_below=gamma_below, round_to=round_to, evaluate=accuracy
    )
    metrics = info.metrics
    if held is not None and report.scores is not None:
        # What the original was worth says nothing of other outputs.
        metrics = {"data": held.name, "test_accuracy": report.scores[1]}
    io.save(small, target, plan=info.plan, metrics={**metrics, "by": by})
    report.print()
    say(f"saved: {target}")


def _accuracy(held: DataSet) -> Callable[[nn.Module], float]:
    return lambda model: evaluate(model, held).accuracy
