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
            help="Treat smaller scales as zero; changes outputs, so the accuracy is measured."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="With --gamma-below: data set, if not the one it was trained on."),
    ] = None,
    data_root: options.DataRoot = None,
    round_to: Annotated[
        int | None, typer.Option(help="Round channel counts up to multiples of this.")
    ] = None,
    allow_untrained: Annotated[
        bool,
        typer.Option(
            "--allow-untrained",
            help="Also remove what is zero only because training has yet to use it.",
        ),
    ] = False,
) -> None:
    """Remove dead channels: a smaller network that computes the same."""
    path = model_path(run)
    info, example = io.info(path), example_for(path, 2)
    dataset = None if gamma_below is None else trained(run, data, data_root).dataset
    model = io.load(path)
    by = {"command": "compact", "model": digest_of(model)}
    target = result_path(out, run, by)
    writable_folder(out, "out")
    accuracy = None if dataset is None else _accuracy(dataset)
    small, report = compact_model(
        model,
        example,
        gamma_below=gamma_below,
        round_to=round_to,
        evaluate=accuracy,
        allow_untrained=allow_untrained,
    )
    metrics = info.metrics
    if dataset is not None and report.scores is not None:
        # The outputs changed, so the original's metrics no longer apply.
        metrics = {"data": dataset.name, "test_accuracy": report.scores[1]}
    io.save(small, target, plan=info.plan, metrics={**metrics, "by": by})
    report.print()
    say(f"saved: {target}")


def _accuracy(dataset: DataSet) -> Callable[[nn.Module], float]:
    return lambda model: evaluate(model, dataset).accuracy
