"""Question: what does it cost in accuracy that neighbouring filters read the same inputs?

    python -m studies shared_inputs [--scale cpu]

`block(g, 1)` patterns: groups of g filters read the same input channels, so that a kernel loads an
input once for g filters. A VGG-like network on CIFAR-10 with g = 1, 4, 8 and 16 at one density in
every convolution but the first; same recipe, same seeds. Each has the same number of weights.

Source: ours; no paper claims it. Block patterns are what the kernels of openwork run fastest, so
the price of that convenience should be known. Half a point counts as a loss at the scale "paper",
one point below it.
"""

from typing import Any

import torch
from _claims import Claim, no_loss
from _grid import Desk, Row, Settings, Study, gaps, values
from _study import first_samples, loaded
from ssc_vs_others import halved, weights
from torch import nn

import openwork as ow

GROUPS = (1, 4, 8, 16)
# The lowest at which 64 filters in groups of 16 can read 64 inputs without leaving one unread, so
# that all have as many weights.
DENSITY = 0.25
# Scale -> seeds, epochs, images of training and test, sides halved.
SIZES: dict[str, tuple[int, int, int | None, int | None, bool]] = {
    "smoke": (1, 1, 128, 64, True),
    "cpu": (3, 5, 5000, 2000, True),
    "paper": (5, 60, None, None, False),
}


def cells(scale: str) -> list[Settings]:
    seeds, epochs, train, test, small = SIZES[scale]
    return [
        {
            "group": group,
            "density": DENSITY,
            "train": train,
            "test": test,
            "halved": small,
            "network": "vgg-small" if small else "vgg16-cifar",
            "epochs": epochs,
            "seed": seed,
        }
        for seed in range(seeds)
        for group in GROUPS
    ]


def run(settings: Settings, desk: Desk) -> dict[str, Any]:
    data = first_samples(loaded("cifar10"), settings["train"], settings["test"])
    data = halved(data) if settings["halved"] else data
    recipe = ow.train.Recipe(
        epochs=settings["epochs"],
        batch_size=64,
        optimizer="adam",
        lr=2e-3,
        warmup=0.1,
        flip=True,
        seed=settings["seed"],
    )
    model = build(settings, data.image_size[0])
    return {"weights": weights(model), **desk.fit(model, data, recipe)}


def build(settings: Settings, side: int) -> nn.Module:
    torch.manual_seed(settings["seed"])
    model = ow.models.build(
        settings["network"],
        num_classes=10,
        in_channels=3,
        image_size=side,
        # As wide as a VGG-16 in its first layers.
        depth_multiplier=2.0 if settings["network"] == "vgg-small" else 1.0,
    )
    block = {"pattern": "block", "density": settings["density"], "b_out": settings["group"]}
    plan = ow.Plan({"conv:*": block, "features.0": "dense"}, seed=settings["seed"])
    return ow.sparsify_(model, plan)


def claims(rows: list[Row]) -> list[Claim]:
    whole = any(row["settings"]["train"] is None for row in rows)
    loss = 0.5 if whole else 1.0
    return [
        Claim(
            "Filters that share their inputs are as accurate (our question)",
            f"accuracy with groups of {group} minus single filters; a loss of {loss:g} points "
            "counts",
            no_loss(gaps(rows, {"group": group}, {"group": 1}), loss),
            "points",
            f"groups of {group}",
        )
        for group in GROUPS[1:]
    ]


def points(rows: list[Row]) -> tuple[str, str, dict[str, list[tuple[float, list[float]]]]]:
    """What the picture shows: axis labels, and (group, accuracies in per cent)."""
    found = []
    for group in GROUPS:
        if accuracy := values(rows, "accuracy", group=group):
            found.append((float(group), [100 * value for value in accuracy]))
    return "filters that share inputs", "test accuracy, %", {"CIFAR-10": found} if found else {}


STUDY = Study(
    "shared_inputs",
    threads=1,
    cells=cells,
    run=run,
    cut={
        "smoke": "everything",
        "cpu": "a VGG of six convolutions, 5,000 images of 16x16 pixels, 5 epochs, 2,000 test "
        "images",
        "paper": "60 epochs",
    },
)
