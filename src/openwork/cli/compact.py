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
from openwork.cli.build import Sizes
from openwork.cli.normalise import Normalisation
from openwork.cli.result_path import result_path
from openwork.cli.run import images_for, locate, sizes_for
from openwork.cli.say import say
from openwork.cli.trained import trained
from openwork.compact import compact as compact_model
from openwork.data import DataSet
from openwork.train import evaluate
from openwork.train.run_folder import trained_on


def compact(
    out: Annotated[Path, typer.Option(help="Folder for the smaller network.")],
    run: options.Run = None,
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
    model: options.OwnModel = None,
    weights: options.Weights = None,
    classes: options.Classes = 10,
    channels: options.Channels = 3,
    image_size: options.Side = 32,
    mean: options.Mean = None,
    std: options.Std = None,
) -> None:
    """Remove dead channels: a smaller network that computes the same."""
    place = locate(run, model, weights)
    place.refuse_compiled("compacted")
    info, dataset = place.info, None
    sizes = sizes_for(place, Sizes(classes, channels, image_size))
    if gamma_below is None:
        network = place.load(sizes)
    else:
        found = trained(
            run, data, data_root, model=model, weights=weights, asked=Normalisation(mean, std)
        )
        network, dataset = found.model, found.dataset
        sizes = Sizes(dataset.num_classes, dataset.channels, dataset.image_size[0])
    by = {"command": "compact", "model": digest_of(network)}
    target = result_path(out, place.path or Path(), by)
    writable_folder(out, "out")
    small, report = compact_model(
        network,
        images_for(network, sizes, 2),
        gamma_below=gamma_below,
        round_to=round_to,
        evaluate=None if dataset is None else _accuracy(dataset),
        allow_untrained=allow_untrained,
    )
    metrics = place.metrics
    if dataset is not None and report.scores is not None:
        # The outputs changed, so the original's metrics no longer apply.
        full = info is None or "mean" in info.metrics
        metrics = trained_on(dataset) if full else {"data": dataset.name}
        metrics |= {"test_accuracy": report.scores[1]}
    io.save(small, target, plan=info.plan if info else None, metrics={**metrics, "by": by})
    report.to_json(target.with_name("compact.json"))
    report.print()
    say(f"saved: {target}")


def _accuracy(dataset: DataSet) -> Callable[[nn.Module], float]:
    return lambda model: evaluate(model, dataset).accuracy
