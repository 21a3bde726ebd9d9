"""`openwork train`."""

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import nn

from openwork import data as datasets
from openwork._terminal import counted
from openwork.cli import options
from openwork.cli.build import build_for
from openwork.cli.normalise import Normalisation, normalised
from openwork.cli.options import one_of
from openwork.cli.run import naming
from openwork.cli.say import say
from openwork.io import load_weights_
from openwork.nn import Plan, sparsify_
from openwork.nn.sparse_layer import INITS
from openwork.observe import SparsityHistory
from openwork.report.picture import draw_run
from openwork.train import GrowthSchedule, Recipe, fit
from openwork.train.recipe import DEFAULT_LR, PRECISIONS
from openwork.train.schedules import SCHEDULES


def train(
    model: options.Model,
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, metrics and events.")],
    data: options.Data = "mnist-subset",
    plan: options.PlanFile = None,
    recipe: Annotated[
        Path | None, typer.Option(help="YAML recipe; the options below override it.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Samples per step over all processes.")
    ] = None,
    optimizer: Annotated[str | None, typer.Option(help=f"{one_of(DEFAULT_LR)}.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    momentum: Annotated[float | None, typer.Option(help="Momentum of sgd and rmsprop.")] = None,
    beta2: Annotated[float | None, typer.Option(help="Second beta of adam and adamw.")] = None,
    l2: Annotated[float | None, typer.Option(help="L2 penalty, in the gradient.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Decoupled weight decay.")] = None,
    schedule: Annotated[str | None, typer.Option(help=f"{one_of(SCHEDULES)}.")] = None,
    warmup: Annotated[
        float | None, typer.Option(help="Share of the run in which the rate rises.")
    ] = None,
    label_smoothing: Annotated[
        float | None, typer.Option(help="Label smoothing, in [0, 1).")
    ] = None,
    flip: Annotated[bool | None, typer.Option(help="Flip training images at random.")] = None,
    crop_padding: Annotated[
        int | None, typer.Option(help="Pixels of padding before a random crop.")
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Parts that each batch is computed in, to need less memory.")
    ] = None,
    clip_norm: Annotated[
        float | None, typer.Option(help="Norm that gradients are scaled down to.")
    ] = None,
    ema: Annotated[
        float | None, typer.Option(help="Decay of the weights' average, which is kept; 0 for none.")
    ] = None,
    grow: Annotated[
        str | None,
        typer.Option(help="Double the density during training, as in start=0.01,every=1000."),
    ] = None,
    precision: Annotated[str | None, typer.Option(help=f"{one_of(PRECISIONS)}.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random choices.")] = None,
    init: Annotated[
        str, typer.Option(help=f"How sparse layers start: {one_of(INITS)}.")
    ] = "rescale",
    depth_multiplier: options.Depth = 1.0,
    data_root: options.DataRoot = None,
    image_size: options.ImageSize = None,
    device: options.Device = "auto",
    weights: options.Weights = None,
    mean: options.Mean = None,
    std: options.Std = None,
    fuse: options.Fuse = False,
    resume: Annotated[
        bool,
        typer.Option(
            help="Resume the run in --out, with the options it was started with; --epochs may be "
            "larger: the rate is then that of the longer run from there on."
        ),
    ] = False,
) -> None:
    """Train a dense or sparse network; under torchrun on all of its processes."""
    settings: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "lr": lr,
        "momentum": momentum,
        "beta2": beta2,
        "l2": l2,
        "weight_decay": weight_decay,
        "schedule": schedule,
        "warmup": warmup,
        "label_smoothing": label_smoothing,
        "flip": flip,
        "crop_padding": crop_padding,
        "accumulate": accumulate,
        "clip_norm": clip_norm,
        "ema": ema,
        "growth": GrowthSchedule.from_text(grow) if grow else None,
        "precision": precision,
        "seed": seed,
    }
    base = Recipe.from_yaml(recipe) if recipe else Recipe()
    changes = {name: value for name, value in settings.items() if value is not None}
    if optimizer is not None and lr is None:
        # The recipe's rate is for the recipe's optimiser.
        changes["lr"] = base.lr if optimizer == base.optimizer else None
    chosen = dataclasses.replace(base, **changes)
    dataset = datasets.load(data, data_root, image_size=image_size)
    torch.manual_seed(chosen.seed)
    network = build_for(dataset, model, depth_multiplier)
    layers = _plan_for(network, dataset, plan)
    if weights is not None:
        with naming("weights"):
            load_weights_(network, weights)
    published = None if weights is None else network
    dataset, _ = normalised(dataset, Normalisation(mean, std), {}, published)
    datasets.check_fits(network, dataset)
    if layers is not None:
        sparsify_(network, layers, init=init)
    history = fit(
        network,
        dataset,
        chosen,
        out=out,
        resume=resume,
        plan=layers,
        device=device,
        on_epoch=SparsityHistory(path=out / "sparsity.csv"),
        fuse=fuse,
    )
    if os.environ.get("RANK", "0") == "0":
        draw_run(out)
        say(
            f"test accuracy {history[-1].test_accuracy:.2%} after "
            f"{counted(len(history), 'epoch')}; the model is in {out / 'model.safetensors'}"
        )


def _plan_for(network: nn.Module, dataset: datasets.DataSet, path: Path | None) -> Plan | None:
    if path is None:
        return None
    # Zeros: drawing numbers would change the initialisation that follows.
    example = torch.zeros(1, dataset.channels, *dataset.image_size)
    return Plan.from_yaml(path, network, example)
