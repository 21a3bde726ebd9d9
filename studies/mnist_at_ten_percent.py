"""Claim: at 10 % density a channel-wise random network classifies MNIST nearly as well as dense.

    python -m studies mnist_at_ten_percent [--scale cpu]

Three networks, same recipe, full training set: dense; the same with every convolution but the first
at 10 % density; and the dense network narrowed by the depth multiplier to the number of parameters
of the sparse one, softmax included, the paper's baseline.

Source: "The Power of Sparsity in Convolutional Neural Networks" (2017), which reports 99.5 % for
its full network and about one point between 2,000 and 2 million parameters. What counts as nearly
as well, half a point, is ours.
"""

import functools
from typing import Any

import torch
from _claims import Claim, no_loss
from _grid import Desk, Row, Settings, Study, gaps, values
from _study import first_samples, loaded, parameters
from torch import nn

import openwork as ow
from openwork.nn import count_macs

PLAN = {"conv:*": {"pattern": "random", "density": 0.1}, "features.0": "dense"}
KINDS = ("dense", "sparse", "depth multiplier")
# Scale -> seeds, epochs, data set, images.
SIZES: dict[str, tuple[int, int, str, int | None]] = {
    "smoke": (1, 1, "mnist-subset", 300),
    "cpu": (3, 5, "mnist", None),
    "paper": (5, 20, "mnist", None),
}


def cells(scale: str) -> list[Settings]:
    seeds, epochs, data, images = SIZES[scale]
    return [
        {"kind": kind, "data": data, "images": images, "epochs": epochs, "seed": seed}
        for seed in range(seeds)
        for kind in KINDS
    ]


def run(settings: Settings, desk: Desk) -> dict[str, Any]:
    data = first_samples(loaded(settings["data"]), settings["images"], settings["images"])
    model = build(settings["kind"], settings["seed"])
    macs = sum(count_macs(model, torch.zeros(1, 1, 28, 28)).values())
    recipe = ow.train.Recipe(
        epochs=settings["epochs"],
        batch_size=64,
        optimizer="adam",
        lr=2e-3,
        warmup=0.05,
        seed=settings["seed"],
    )
    return {"parameters": parameters(model), "macs": macs, **desk.fit(model, data, recipe)}


def build(kind: str, seed: int) -> nn.Module:
    alpha = equal_alpha() if kind == "depth multiplier" else 1.0
    torch.manual_seed(seed)
    model = _dense(alpha)
    return ow.sparsify_(model, ow.Plan(PLAN, seed=seed)) if kind == "sparse" else model


@functools.cache
def equal_alpha() -> float:
    """The depth multiplier, in steps of 1/128, that comes closest to the sparse network's size."""
    target = parameters(build("sparse", 0))
    return min((n / 128 for n in range(8, 129)), key=lambda a: abs(parameters(_dense(a)) - target))


def _dense(alpha: float) -> nn.Module:
    return ow.models.build("mnist_3conv", depth_multiplier=alpha, in_channels=1, image_size=28)


def claims(rows: list[Row]) -> list[Claim]:
    return [
        Claim(
            text,
            f"accuracy at 10 % minus {other}; a loss of 0.5 points counts",
            no_loss(gaps(rows, {"kind": "sparse"}, {"kind": other}), 0.5),
            "points",
        )
        for text, other in (
            ("At 10 % density MNIST is classified nearly as well as by the dense network", "dense"),
            (
                "At 10 % density a narrow network with as many parameters is not ahead",
                "depth multiplier",
            ),
        )
    ]


def points(rows: list[Row]) -> tuple[str, str, dict[str, list[tuple[float, list[float]]]]]:
    """What the picture shows: axis labels, and (parameters, accuracies in per cent) by kind."""
    curves = {}
    for kind in KINDS:
        if sizes := values(rows, "parameters", kind=kind):
            accuracy = [100 * value for value in values(rows, "accuracy", kind=kind)]
            curves[f"MNIST, {kind}"] = [(sizes[0] / 1000, accuracy)]
    return "thousand parameters", "test accuracy, %", curves


STUDY = Study(
    "mnist_at_ten_percent",
    threads=1,
    cells=cells,
    run=run,
    cut={"smoke": "everything", "cpu": "5 epochs", "paper": ""},
)
