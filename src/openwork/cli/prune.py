"""`openwork prune`."""

import dataclasses
import itertools
import os
from pathlib import Path
from typing import Annotated

import torch.nn.functional as F
import typer
from rich.console import Console
from torch import nn

from openwork import data as datasets
from openwork import io
from openwork import prune as pruning
from openwork.cli import options
from openwork.cli.trained import trained
from openwork.data import DataSet
from openwork.errors import ArgumentError
from openwork.nn import Plan
from openwork.prune import Stage
from openwork.train import Recipe, fit
from openwork.train import evaluate as evaluate_model

RECIPE = Recipe(optimizer="adam", lr=1e-3)


def prune(
    run: options.Run,
    out: Annotated[Path, typer.Option(help="Folder for the pruned network and what leads to it.")],
    ratio: Annotated[list[float], typer.Option(help="Share that goes; once for each cut.")],
    granularity: Annotated[
        str, typer.Option(help="feature_map, kernel, intra_kernel or block.")
    ] = "kernel",
    then: Annotated[
        list[str] | None, typer.Option(help="Granularity of a further cut, with a --ratio.")
    ] = None,
    retrain: Annotated[int, typer.Option(help="Epochs after each cut.")] = 10,
    criterion: Annotated[
        str, typer.Option(help="search, l1, l2, taylor, bn_gamma, fpgm or random.")
    ] = "search",
    candidates: Annotated[int, typer.Option(help="Masks that a search draws.")] = 100,
    layers: Annotated[
        list[str] | None, typer.Option(help="Layer globs; default all but first and last.")
    ] = None,
    held_out: Annotated[
        float, typer.Option(help="Share of the training images that masks are judged on.")
    ] = 0.1,
    recipe: Annotated[
        Path | None, typer.Option(help="YAML recipe of the retraining; default Adam at 1e-3.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    data: options.OtherData = None,
    data_root: options.DataRoot = None,
    device: options.Device = "cpu",
) -> None:
    """Cut a trained network and retrain it, once or in stages. Run again, it goes on."""
    kinds = [granularity, *(then or [])]
    if len(kinds) != len(ratio):
        raise ArgumentError(
            f"`ratio`={ratio!r} must be given once for each of the cuts {', '.join(kinds)}"
        )
    found = trained(run, data, data_root)
    held = pruning.hold_out(found.dataset, held_out, seed=seed)
    evaluate = pruning.error_on(held)
    order = datasets.Batches(
        held.train, 128, held.mean, held.std, device=device, shuffle=True, seed=seed
    )
    batches = list(itertools.islice(order.epoch(0), 20))

    def choose(model: nn.Module, stage: Stage, index: int) -> Plan:
        where = {"granularity": stage.granularity, "ratio": stage.ratio, "layers": layers}
        if criterion == "search":
            log = out / f"search-{index + 1}.jsonl"
            return pruning.search(
                model, evaluate, candidates=candidates, seed=seed, log=log, **where
            )
        return pruning.by_criterion(
            model, criterion, batches=batches, loss=F.cross_entropy, seed=seed, **where
        )

    chosen = Recipe.from_yaml(recipe) if recipe else RECIPE
    training = dataclasses.replace(held, test=found.dataset.test)

    def train_on(model: nn.Module, index: int) -> None:
        if retrain:
            once = dataclasses.replace(chosen, epochs=retrain, seed=seed)
            folder = out / f"stage-{index + 1}"
            fit(model, training, once, out=folder, resume=True, device=device)

    model = io.load(found.path, device=device)
    stages = [Stage(*pair) for pair in zip(kinds, ratio, strict=True)]
    pruning.in_stages_(model, choose, train_on, evaluate, stages=stages, batches=batches, out=out)
    if os.environ.get("RANK", "0") == "0":
        _keep(model, found.dataset, out)


def _keep(model: nn.Module, dataset: DataSet, out: Path) -> None:
    """Write the pruned network as a run's folder has it, and say how good it is."""
    accuracy = evaluate_model(model, dataset).accuracy
    plan, path = Plan.of(model), out / "model.safetensors"
    metrics = {"data": dataset.name, "test_accuracy": accuracy}
    io.save(model, path, plan=plan, metrics=metrics)
    plan.to_yaml(out / "plan.yaml")
    weights = sum(parameter.numel() for parameter in model.parameters())
    Console().print(
        f"test accuracy {accuracy:.2%} with {weights:,} parameters; the model is in {path}",
        highlight=False,
        soft_wrap=True,
    )
