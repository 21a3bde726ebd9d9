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
    gamma_below: Annotated[float, typer.Option(help="Scales below this are dead.")] = 1e-3,
    activation_below: Annotated[
        float, typer.Option(help="Channels that never exceed this are dead.")
    ] = 1e-12,
    picture: Annotated[Path | None, typer.Option(help="Where a picture goes, if any.")] = None,
    device: options.Device = "cpu",
) -> None:
    """How many channels training has left dead, seen over the training images."""
    if picture is not None:
        writable_folder(picture.parent, "picture")
    found = trained(run, data, data_root)
    held = found.dataset
    batches = Batches.in_order(held.train, held.mean, held.std, device=device)
    report = observe_channels(
        io.load(found.path, device=device),
        batches.epoch(0),
        gamma_below=gamma_below,
        activation_below=activation_below,
    )
    report.table().print()
    if picture is not None:
        report.picture(picture)
