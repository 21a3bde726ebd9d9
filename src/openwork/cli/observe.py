"""`openwork observe` and `openwork sensitivity`: what a trained network can do without."""

import contextlib
from pathlib import Path
from typing import Annotated

import torch.nn.functional as F
import typer

from openwork import prune as pruning
from openwork._files import writable_file
from openwork.cli import options
from openwork.cli.normalise import Normalisation
from openwork.cli.options import one_of
from openwork.cli.trained import trained
from openwork.data import Batches
from openwork.errors import OpenworkError
from openwork.nn import Plan
from openwork.observe import observe as observe_channels
from openwork.prune.criteria import CRITERIA
from openwork.prune.sensitivity import RATIOS
from openwork.prune.units.granularity import GRANULARITIES
from openwork.train.run_folder import PLAN


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
        writable_file(picture, "picture")
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


def sensitivity(
    out: Annotated[Path, typer.Option(help="Folder for the errors, the picture and the plan.")],
    run: options.Run = None,
    granularity: Annotated[str, typer.Option(help=f"{one_of(GRANULARITIES)}.")] = "kernel",
    ratio: Annotated[
        list[float] | None, typer.Option(help="Share of a layer to cut, once for each to try.")
    ] = None,
    criterion: Annotated[str, typer.Option(help=f"{one_of(CRITERIA)}.")] = "l1",
    loss: Annotated[
        float | None,
        typer.Option(help="Write the plan that cuts each layer until its error rises by this."),
    ] = None,
    recalibrate: Annotated[
        bool, typer.Option(help="Measure batch normalisation again after each cut.")
    ] = False,
    layers: options.Layers = None,
    held_out: options.HeldOut = 0.1,
    seed: Annotated[int, typer.Option(help="Seed of all random choices.")] = 0,
    data: options.OtherData = None,
    data_root: options.DataRoot = None,
    model: options.OwnModel = None,
    weights: options.Weights = None,
    image_size: options.ImageSize = None,
    mean: options.Mean = None,
    std: options.Std = None,
    device: options.Device = "cpu",
    ray: options.Ray = None,
) -> None:
    """Cut one layer at a time and measure the error. Run the same command again to resume."""
    network = trained(
        run,
        data,
        data_root,
        model=model,
        weights=weights,
        image_size=image_size,
        asked=Normalisation(mean, std),
        device=device,
        refuse_compiled="pruned",
    )
    held, batches = network.hold_out(held_out, seed, device, batches=8)
    result = pruning.sensitivity(
        network.model,
        pruning.error_on(held),
        granularity,
        ratio or RATIOS,
        criterion=criterion,
        layers=layers,
        example=batches[0][0][:1],
        batches=batches,
        loss=F.cross_entropy,
        recalibrate=recalibrate,
        seed=seed,
        out=out,
        identity={"data": network.dataset.name, "held_out": held_out},
        ray=ray,
    )
    result.table().print()
    result.picture(out / "sensitivity.png")
    if loss is not None:
        Plan.from_sensitivity(result, loss=loss).to_yaml(out / PLAN)
