"""Claim: the sparsity that training leaves by itself is worth as much as deliberate pruning.

    python -m studies harvest [--scale paper]

Ways to a small BasicNet: *harvest* trains with an adaptive optimiser and L2 and removes what is
dead (|gamma| < 1e-3), without further training; *slimming* trains with SGD and an L1 penalty on
gamma, 1e-4 as published or ten times that, *l1* with SGD alone; both are then pruned to the number
of parameters of the harvest, by gamma over all layers and by the sum of absolute weights in each
layer, and fine-tuned.

Source: "On Implicit Filter Level Sparsity in Convolutional Neural Networks" (2019) finds implicit
sparsity at or better than Network Slimming (Liu et al. 2017); its figures are not recovered. L1
pruning: "Pruning Filters for Efficient ConvNets" (Li et al. 2017). Our reading: BasicNet as
`openwork.models` builds it, all recipes, equal shares for all layers in l1. Scales below 1e-3 are
not zero: without `gamma_below` nothing would be removed. The size of the harvest cannot be chosen;
that of the others can.
"""

import copy
import dataclasses
from typing import Any

import torch
from _basicnet import build, images, watch
from _claims import Claim, at_least, no_loss
from _grid import Desk, Row, Settings, Study, gaps, paired, values
from _study import parameters
from torch import nn

import openwork as ow
from openwork import prune
from openwork.data import DataSet

# Way -> L1 penalty on gamma, criterion, scope; of the pruned ones.
PRUNED = {
    "slimming": (1e-4, "bn_gamma", "global"),
    "slimming x10": (1e-3, "bn_gamma", "global"),
    "l1": (0.0, "l1", "layer"),
}
WAYS = ("harvest", *PRUNED)
SGD_L2 = 1e-4
# Scales below are dead.
_DEAD = 1e-3
# Scale -> seeds and sizes; `lr` and `l2` are those of the harvest, which Adam trains.
SIZES: dict[str, tuple[int, Settings]] = {
    "smoke": (
        1,
        {
            "data": "mnist-subset",
            "train": 80,
            "test": 40,
            "width": 0.0625,
            "epochs": 1,
            "retrain": 1,
            "lr": 3e-3,
            "l2": 1e-3,
            "flip": False,
        },
    ),
    "cpu": (
        3,
        {
            "data": "mnist-subset",
            "train": 4000,
            "test": 2000,
            "width": 0.125,
            "epochs": 80,
            "retrain": 10,
            "lr": 3e-3,
            "l2": 1e-3,
            "flip": False,
        },
    ),
    "paper": (
        3,
        {
            "data": "cifar10",
            "train": None,
            "test": None,
            "width": 1.0,
            "epochs": 325,
            "retrain": 40,
            "lr": 1e-3,
            "l2": 1e-3,
            "flip": True,
        },
    ),
}


def cells(scale: str) -> list[Settings]:
    seeds, sizes = SIZES[scale]
    return [{"way": way, **sizes, "seed": seed} for seed in range(seeds) for way in WAYS]


def run(settings: Settings, desk: Desk) -> dict[str, Any]:
    data = images(settings)
    side = data.image_size[0]
    example = torch.randn(4, data.channels, side, side, generator=torch.Generator().manual_seed(0))
    # The size of the harvest is that of the others.
    model = build(data, settings["width"], settings["seed"])
    what = {name: value for name, value in settings.items() if name not in ("way", "retrain")}
    before = desk.trained(what, model, data, recipe(settings, "harvest"))
    if settings["way"] == "harvest":
        small, seen = harvested(model.cpu(), data, example)
    else:
        size = parameters(ow.compact(model.cpu(), example, gamma_below=_DEAD)[0])
        before, small, seen = _pruned_alike(settings, data, example, size, desk)
    return {
        "accuracy_before": before["accuracy"],
        "accuracy": ow.train.evaluate(small, data).accuracy,
        "parameters_before": parameters(model),
        "parameters": parameters(small),
        "macs_before": sum(ow.nn.count_macs(model, example[:1]).values()),
        "macs": sum(ow.nn.count_macs(small.cpu(), example[:1]).values()),
        **seen,
    }


def _pruned_alike(
    settings: Settings, data: DataSet, example: torch.Tensor, size: int, desk: Desk
) -> tuple[Row, nn.Module, dict[str, Any]]:
    """Train with SGD, prune to `size` parameters and fine-tune: accuracy before, the network."""
    way = settings["way"]
    strength, criterion, scope = PRUNED[way]
    model = build(data, settings["width"], settings["seed"])
    penalise_gamma_(model, strength)
    before = desk.fit(model, data, recipe(settings, way))
    # A fresh copy has no hooks: the penalty ends here.
    plain = build(data, settings["width"], settings["seed"])
    plain.load_state_dict(model.cpu().state_dict())
    small = pruned(plain, criterion, scope, size, example)
    seen = {"accuracy_cut": ow.train.evaluate(small, data).accuracy}
    fine = dataclasses.replace(recipe(settings, way), epochs=settings["retrain"], lr=0.01)
    desk.fit(small, data, fine, "fine-tuning")
    return before, small, seen


def recipe(settings: Settings, way: str) -> ow.train.Recipe:
    how: dict[str, Any] = {"optimizer": "sgd", "lr": 0.05, "l2": SGD_L2}
    if way == "harvest":
        how = {
            "optimizer": "adam",
            "beta2": 0.99,
            "lr": settings["lr"],
            "l2": settings["l2"],
            "milestones": (250 / 325,),
        }
    return ow.train.Recipe(
        epochs=settings["epochs"],
        batch_size=40,
        schedule="step",
        flip=settings["flip"],
        seed=settings["seed"],
        **how,
    )


def penalise_gamma_(model: nn.Module, strength: float) -> None:
    """From now on, add the gradient of an L1 penalty to that of every batch norm's scale."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.register_hook(
                lambda gradient, gamma=module.weight: gradient + strength * gamma.sign()
            )


def pruned(
    model: nn.Module, criterion: str, scope: str, size: int, example: torch.Tensor
) -> nn.Module:
    """A copy of `model` pruned by filters to about `size` parameters."""
    small = copy.deepcopy(model)
    plan = prune.by_criterion(
        small,
        criterion,
        granularity="feature_map",
        parameters=size / parameters(model),
        scope=scope,
        layers="features.*",
        example=example,
        progress=False,
    )
    return ow.densify_(ow.compact(prune.apply_(small, plan), example)[0])


def harvested(
    model: nn.Module, data: DataSet, example: torch.Tensor
) -> tuple[nn.Module, dict[str, Any]]:
    """`model` without its dead channels, and how many there were."""
    report = watch(model, data)
    exact, _ = ow.compact(model, example)
    small, proof = ow.compact(
        model,
        example,
        gamma_below=_DEAD,
        evaluate=lambda network: ow.train.evaluate(network, data).accuracy,
    )
    return small, {
        "dead_by_scale": report.dead_by_scale(),
        "dead_by_activation": report.dead_by_activation(),
        "parameters_exact": parameters(exact),
        "output_change": proof.change,
        "proof": proof.relative,
    }


def claims(rows: list[Row]) -> list[Claim]:
    harvest = [r for r in rows if r["settings"]["way"] == "harvest"]
    lost = [r["result"]["accuracy"] - r["result"]["accuracy_before"] for r in harvest]
    fewer = paired(rows, "macs", {"way": "l1"}, {"way": "harvest"})
    whole = values(rows, "macs_before", way="harvest")
    return [
        Claim(
            "What training left dead goes without a loss",
            "accuracy of the harvest after minus before, no further training; a loss of 0.1 points "
            "counts",
            no_loss([100 * loss for loss in lost], 0.1),
            "points",
        ),
        *(
            Claim(
                "The harvest is as accurate as Network Slimming at equal size",
                f"accuracy minus that of {name}; a loss of 0.2 points counts",
                no_loss(gaps(rows, {"way": "harvest"}, {"way": way}), 0.2),
                "points",
            )
            for way, name in (
                ("slimming", "slimming as published, fine-tuned"),
                ("slimming x10", "slimming with ten times the penalty, fine-tuned"),
            )
        ),
        Claim(
            "The harvest is as accurate as l1 pruning at equal size (our question)",
            "accuracy minus that of l1, fine-tuned; a loss of 0.2 points counts",
            no_loss(gaps(rows, {"way": "harvest"}, {"way": "l1"}), 0.2),
            "points",
        ),
        Claim(
            "The harvest has no more multiply-adds than l1 pruning at equal size (our question)",
            "multiply-adds of l1 minus those of the harvest, % of the whole network's",
            at_least([100 * gap / of for gap, of in zip(fewer, whole, strict=False)], 0.0),
            "%",
        ),
    ]


def points(rows: list[Row]) -> tuple[str, str, dict[str, list[tuple[float, list[float]]]]]:
    """What the picture shows: axis labels, and (share of multiply-adds, accuracies) by way."""
    curves = {}
    for way in WAYS:
        found = []
        for ending in ("_before", ""):
            macs = values(rows, f"macs{ending}", way=way)
            accuracy = [100 * value for value in values(rows, f"accuracy{ending}", way=way)]
            if macs:
                found.append((sum(macs) / len(macs) / 1000, accuracy))
        if found:
            curves[f"before and after, {way}"] = sorted(found)
    return "thousand multiply-adds", "test accuracy, %", curves


STUDY = Study(
    "harvest",
    threads=1,
    cells=cells,
    run=run,
    cut={
        "smoke": "everything",
        "cpu": "an eighth of the width, 4,000 digits of 16x16 pixels, 80 epochs, 10 of fine-tuning",
        "paper": "",
    },
)
