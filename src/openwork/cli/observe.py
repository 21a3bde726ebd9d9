"""`openwork observe`."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from openwork._files import writable_folder
from openwork.cli import options
from openwork.cli.normalise import Normalisation
from openwork.cli.trained import trained
from openwork.data import Batches
from openwork.errors import OpenworkError
from openwork.observe import observe as observe_channels


def observe(
    run: options.Run = None,
    data: options.OtherData = None,
    data_root: options.DataRoot = None,
    gamma_below: Annotated[
        float, typer.Option(help="A channel is dead if its scale is below this.")
    ] = 1e-3,
    activation_below: Annotated[
        float, typer.Option(help="A channel is dead if it never exceeds this.")
    ] = 1e-12,
    picture: Annotated[Path | None, typer.Option(help="File for a picture; default none.")] = None,
    model: options.OwnModel = None,
    weights: options.Weights = None,
    image_size: options.ImageSize = None,
    mean: options.Mean = None,
    std: options.Std = None,
    device: options.Device = "cpu",
) -> None:
    """Count the channels that training has left dead, over the training images."""
    if picture is not None:
        writable_folder(picture.parent, "picture")
    network = trained(
        run,
        data,
        data_root,
        model=model,
        weights=weights,
        image_size=image_size,
        asked=Normalisation(mean, std),
        device=device,
        refuse_compiled="observed",
    )
    dataset = network.dataset
    batches = Batches.in_order(dataset.train, dataset.mean, dataset.std, device=device)
    report = observe_channels(
        network.model,
        batches.epoch(0),
        gamma_below=gamma_below,
        activation_below=activation_below,
    )
    report.table().print()
    if run is not None and run.is_dir():
        # For `openwork report`; if the run can only be read, the table is shown all the same.
        with contextlib.suppress(OpenworkError):
            report.to_json(run / "channels.json")
    if picture is not None:
        report.picture(picture)
