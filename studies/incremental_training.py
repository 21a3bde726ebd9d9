"""Claim: a network that starts at 1 % density and doubles it as it trains catches up with dense.

    python -m studies incremental_training [--scale paper]

All convolutions but the first start with 1 % of their connections and double every T steps; the run
length is the same for all, the learning rate constant. *Dense* trains everything from the first
step; *1 %* never grows.

Source: "The Power of Sparsity in Convolutional Neural Networks" (2017), incremental training: for
all T the network catches up with the full one; the dip after a doubling is short. How long the dip
lasts is not looked at here. What counts as level is our reading.
"""

from typing import Any

import torch
from _claims import Claim, no_loss
from _grid import Desk, Row, Settings, Study, gaps, values
from _study import first_samples, loaded
from torch import nn

import openwork as ow
from openwork.data import DataSet
from openwork.train import GrowthSchedule

START = 0.01
# Points of accuracy that count as a loss.
LOSS = 0.5
BATCH = 32
# Name -> when the seven doublings to full density end, as a share of the run, and how new weights
# start; None: no growth.
KINDS = {
    "dense": None,
    "1 %": None,
    "grown by 1/4": (0.25, "zero"),
    "grown by 1/2": (0.5, "zero"),
    "grown by 1/2, original": (0.5, "original"),
}
# Scale -> seeds, epochs, data set, training images, kinds.
SIZES: dict[str, tuple[int, int, str, int | None, list[str]]] = {
    "smoke": (1, 1, "mnist-subset", 500, ["dense", "grown by 1/2"]),
    "cpu": (3, 6, "mnist-subset", 2000, list(KINDS)),
    "paper": (3, 100, "cifar10", None, list(KINDS)),
}


def cells(scale: str) -> list[Settings]:
    seeds, epochs, data, train, kinds = SIZES[scale]
    return [
        {"data": data, "train": train, "kind": kind, "epochs": epochs, "seed": seed}
        for seed in range(seeds)
        for kind in kinds
    ]


def run(settings: Settings, desk: Desk) -> dict[str, Any]:
    data = first_samples(loaded(settings["data"]), settings["train"])
    recipe = ow.train.Recipe(
        epochs=settings["epochs"],
        batch_size=BATCH,
        optimizer="adam",
        lr=1e-3,
        schedule="constant",
        growth=_schedule(settings, len(data.train)),
        seed=settings["seed"],
    )
    return desk.fit(_network(settings, data), data, recipe)


def _network(settings: Settings, data: DataSet) -> nn.Module:
    torch.manual_seed(settings["seed"])
    model = ow.models.build(
        "mnist_3conv" if data.channels == 1 else "cnn_small",
        in_channels=data.channels,
        image_size=data.image_size[0],
        num_classes=data.num_classes,
    )
    if settings["kind"] != "dense":
        random = {"pattern": "random", "density": START}
        plan = ow.Plan({"conv:*": random, "features.0": "dense"}, seed=settings["seed"])
        ow.sparsify_(model, plan)
    return model


def _schedule(settings: Settings, images: int) -> GrowthSchedule | None:
    grown = KINDS[settings["kind"]]
    if grown is None:
        return None
    share, init = grown
    steps = settings["epochs"] * -(-images // BATCH)
    return GrowthSchedule(START, max(1, int(share * steps / 7)), init=init)


def claims(rows: list[Row]) -> list[Claim]:
    text = "A network that grows from 1 % by doublings catches up with the full one"
    return [
        Claim(
            text,
            f"accuracy {kind} of the run minus dense; a loss of {LOSS} points counts",
            no_loss(gaps(rows, {"kind": kind}, {"kind": "dense"}), LOSS),
            "points",
        )
        for kind in KINDS
        if KINDS[kind]
    ]


def points(rows: list[Row]) -> tuple[str, str, dict[str, list[tuple[float, list[float]]]]]:
    """What the picture shows: axis labels, and (share of the run grown, accuracies) by kind."""
    curves: dict[str, list[tuple[float, list[float]]]] = {}
    for kind, grown in KINDS.items():
        accuracy = [100 * value for value in values(rows, "accuracy", kind=kind)]
        if accuracy:
            curves[f"{rows[0]['settings']['data']}, {kind}"] = [
                (100 * (grown[0] if grown else kind == "1 %"), accuracy)
            ]
    return "share of the run below full density, %", "test accuracy, %", curves


STUDY = Study(
    "incremental_training",
    threads=1,
    cells=cells,
    run=run,
    cut={
        "smoke": "everything",
        "cpu": "three convolutions, 2,000 MNIST images, 6 epochs of 63 steps, 3 seeds",
        "paper": "",
    },
)
