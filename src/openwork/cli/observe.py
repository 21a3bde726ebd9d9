"""`openwork observe`."""

from pathlib import Path
from typing import Annotated

import typer

from openwork import io
from openwork._files import writable_folder
from openwork.cli import options
from openwork.cli.trained import trained
from openwork.data import Batches
from openwork.observe import observe as observe_channels


def observe(
    run: options.Run,
    data: options.OtherData = None,
    data_root: options.DataRoot = None,
    gamma_below: Annotated[
        float, typer.Option(help="A channel is dead if its scale is below this.")
    ] = 1e-3,
    activation_below: Annotated[
        float, typer.Option(help="A channel is dead if it never exceeds this.")
    ] = 1e-12,
    picture: Annotated[Path | None, typer.Option(help="File for a picture; default none.")] = None,
    device: options.Device = "cpu",
) -> None:
    """Count the channels that training has left dead, over the training images."""
    if picture is not None:
        writable_folder(picture.parent, "picture")
    network = trained(run, data, data_root)
    dataset = network.dataset
    batches = Batches.in_order(dataset.train, dataset.mean, dataset.std, device=device)
    report = observe_channels(
        io.load(network.path, device=device),
        batches.epoch(0),
        gamma_below=gamma_below,
        activation_below=activation_below,
    )
    report.table().print()
    if picture is not None:
        report.picture(picture)
