"""`openwork prune`."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from torch import nn

from openwork import io
from openwork import prune as pruning
from openwork._arguments import check_choice, check_count
from openwork._copy import copied
from openwork._identity import digest_of
from openwork.cli import options
from openwork.cli.chooser import Chooser
from openwork.cli.normalise import Normalisation
from openwork.cli.options import one_of
from openwork.cli.result_path import result_path
from openwork.cli.say import say
from openwork.cli.trained import trained
from openwork.data import DataSet
from openwork.errors import ArgumentError
from openwork.io.plain import plain
from openwork.nn import Plan
from openwork.nn.cost import live_weights
from openwork.nn.layers import sparse_layers
from openwork.observe import SparsityHistory
from openwork.prune import Stage
from openwork.prune.criteria import CRITERIA
from openwork.prune.held_out import check_enough, held_count
from openwork.prune.units.granularity import GRANULARITIES
from openwork.report.picture import draw_run
from openwork.train import Recipe, fit
from openwork.train import evaluate as evaluate_model
from openwork.train.run_folder import PLAN, identity_of, trained_on

RECIPE = Recipe(optimizer="adam", lr=1e-3)


def prune(
    out: Annotated[Path, typer.Option(help="Folder for the pruned network and its stages.")],
    ratio: Annotated[list[float], typer.Option(help="Share to remove; once per cut.")],
    run: options.Run = None,
    granularity: Annotated[str, typer.Option(help=f"{one_of(GRANULARITIES)}.")] = "kernel",
    then: Annotated[
        list[str] | None, typer.Option(help="Granularity of a further cut, with its own --ratio.")
    ] = None,
    retrain: Annotated[int, typer.Option(help="Epochs of retraining after each cut.")] = 10,
    teacher: Annotated[
        bool,
        typer.Option(
            "--teacher", help="Retrain towards the outputs of the unpruned network as well."
        ),
    ] = False,
    criterion: Annotated[str, typer.Option(help=f"{one_of(('search', *CRITERIA))}.")] = "search",
    candidates: Annotated[int, typer.Option(help="Masks that a search draws.")] = 100,
    layers: options.Layers = None,
    held_out: options.HeldOut = 0.1,
    recipe: Annotated[
        Path | None, typer.Option(help="YAML recipe for the retraining; default Adam at 1e-3.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all random choices.")] = 0,
    data: options.OtherData = None,
    data_root: options.DataRoot = None,
    model: options.OwnModel = None,
    weights: options.Weights = None,
    image_size: options.ImageSize = None,
    mean: options.Mean = None,
    std: options.Std = None,
    device: options.Device = "cpu",
    fuse: options.Fuse = False,
    ray: options.Ray = None,
) -> None:
    """Prune and retrain a network, once or in stages. Run the same command again to resume."""
    cuts = _cuts([granularity, *(then or [])], ratio)
    check_choice("criterion", criterion, ("search", *CRITERIA))
    check_count("retrain", retrain, 0)
    if ray and criterion != "search":
        raise ArgumentError(f"`ray`={ray!r} shares a search; a criterion takes seconds")
    if teacher and not retrain:
        raise ArgumentError("`teacher` needs epochs of retraining; give `retrain` at least 1")
    chosen = Recipe.from_yaml(recipe) if recipe else RECIPE
    chosen = dataclasses.replace(chosen, epochs=retrain or 1, seed=seed)
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
    count = held_count(len(network.dataset.train), held_out, "held_out")
    if criterion == "search":
        check_enough(count, candidates)
    held, batches = network.hold_out(held_out, seed, device, batches=20)
    pruned = network.model
    identity = identity_of(pruned, held, chosen)
    choose = Chooser(
        pruning.error_on(held),
        criterion,
        candidates,
        layers,
        batches,
        seed,
        out,
        identity["data"],
        ray,
    )
    settings = plain("identity", choose.settings | {"held_out": held_out, "retrain": retrain})
    settings |= plain("identity", {"recipe": identity["recipe"]}) if retrain else {}
    if teacher:
        settings["teacher"] = True
    unpruned = copied(pruned) if teacher else None
    by = {"command": "prune", "model": digest_of(pruned), "settings": settings}
    path = result_path(out, network.path, by)
    choose.check(pruned, cuts[1:])
    training = dataclasses.replace(held, test=network.dataset.test)

    def train_on(model: nn.Module, index: int) -> None:
        if retrain:
            folder = out / f"stage-{index + 1}"
            fit(
                model,
                training,
                chosen,
                out=folder,
                resume=True,
                device=device,
                on_epoch=SparsityHistory(path=folder / "sparsity.csv"),
                teacher=unpruned,
                fuse=fuse,
            )

    pruning.in_stages_(
        pruned,
        choose,
        train_on,
        choose.evaluate,
        stages=cuts,
        batches=batches,
        out=out,
        identity=settings,
    )
    if os.environ.get("RANK", "0") == "0":
        _keep(pruned, network.dataset, path, by)
        draw_run(out)


def _cuts(kinds: Sequence[str], ratios: Sequence[float]) -> list[Stage]:
    if len(kinds) != len(ratios):
        raise ArgumentError(
            f"`ratio`={list(ratios)!r} must be given once for each of the cuts {', '.join(kinds)}"
        )
    return [Stage(*pair) for pair in zip(kinds, ratios, strict=True)]


def _keep(model: nn.Module, dataset: DataSet, path: Path, by: Mapping[str, Any]) -> None:
    """Write the pruned network to `path` with its plan, and print its accuracy."""
    accuracy = evaluate_model(model, dataset).accuracy
    # If nothing was cut, there is no plan.
    plan = Plan.of(model) if sparse_layers(model) else None
    metrics = {**trained_on(dataset), "test_accuracy": accuracy, "by": by}
    io.save(model, path, plan=plan, metrics=metrics)
    if plan is not None:
        plan.to_yaml(path.parent / PLAN)
    say(
        f"test accuracy {accuracy:.2%} with {live_weights(model):,} parameters; "
        f"the model is in {path}"
    )
