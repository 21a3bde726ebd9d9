"""Claim: below 10 % density a sparse network beats a narrower one; above, the two are equal.

    python -m studies sparse_vs_depth_multiplier [--scale paper]

A network of three convolutions, on MNIST and on CIFAR-10. *Sparse*: each convolution but the first
keeps a random share alpha of its connections. *Depth multiplier*: each width is multiplied by
sqrt(alpha), so that both have about alpha times the connections of the dense network. Same recipe,
same seeds. Parameters are counted without the softmax layer, as in the paper's table; MACs with it.

At alpha 0.01 the sparse network has twice the parameters of the narrow one, because every filter
must read something and the first layer is dense, and its softmax layer, which is not counted, is as
wide as the dense network's.

Source: "The Power of Sparsity in Convolutional Neural Networks" (2017): equal once the density is
above 0.1, sparse clearly better below; on MNIST sparse wins by parameters and loses by MACs,
because the first layer dominates the cost. The network's widths, and what counts as equal, are our
reading.
"""

from typing import Any

import torch
from _claims import Claim, at_least, equal
from _grid import Desk, Row, Settings, Study, gaps, values
from _study import first_samples, loaded, parameters_without_softmax
from torch import nn

import openwork as ow
from openwork.data import DataSet
from openwork.nn import count_macs

ALPHAS = (0.01, 0.03, 0.1, 0.3)
KINDS = ("sparse", "depth multiplier")
BELOW = "Below 10 % density a sparse network beats a narrow one"
ABOVE = "From 10 % density on the two are equal"
# Points of accuracy within which two networks count as equal.
EQUAL = 1.0
# Scale -> seeds, epochs, densities, and (data set, training images, test images).
SIZES: dict[str, tuple[int, int, tuple[float, ...], list[tuple[str, int | None, int | None]]]] = {
    "smoke": (1, 1, (0.03,), [("mnist-subset", 500, 500)]),
    "cpu": (3, 5, ALPHAS, [("mnist-subset", 5000, None), ("cifar10", 5000, 2000)]),
    "paper": (5, 20, ALPHAS, [("mnist", None, None), ("cifar10", None, None)]),
}


def cells(scale: str) -> list[Settings]:
    seeds, epochs, alphas, sets = SIZES[scale]
    kinds = [("dense", 1.0), *((kind, alpha) for alpha in alphas for kind in KINDS)]
    return [
        {
            "data": name,
            "train": train,
            "test": test,
            "kind": kind,
            "alpha": alpha,
            "epochs": epochs,
            "seed": seed,
        }
        for name, train, test in sets
        for seed in range(seeds)
        for kind, alpha in kinds
    ]


def run(settings: Settings, desk: Desk) -> dict[str, Any]:
    data = first_samples(loaded(settings["data"]), settings["train"], settings["test"])
    model = _network(settings, data)
    macs = count_macs(model, torch.zeros(1, *data.train.images.shape[1:]))
    recipe = ow.train.Recipe(
        epochs=settings["epochs"],
        batch_size=64,
        optimizer="adam",
        lr=2e-3,
        warmup=0.1,
        seed=settings["seed"],
    )
    return {
        "parameters": parameters_without_softmax(model),
        "macs": sum(macs.values()),
        **desk.fit(model, data, recipe),
    }


def _network(settings: Settings, data: DataSet) -> nn.Module:
    torch.manual_seed(settings["seed"])
    alpha, kind = settings["alpha"], settings["kind"]
    model = ow.models.build(
        "mnist_3conv",
        in_channels=data.channels,
        image_size=data.image_size[0],
        depth_multiplier=alpha**0.5 if kind == "depth multiplier" else 1.0,
    )
    if kind == "sparse":
        random = {"pattern": "random", "density": alpha}
        plan = ow.Plan({"conv:*": random, "features.0": "dense"}, seed=settings["seed"])
        ow.sparsify_(model, plan)
    return model


def claims(rows: list[Row]) -> list[Claim]:
    sets = dict.fromkeys(row["settings"]["data"] for row in rows)
    found = {(name, alpha): _gaps(rows, name, alpha) for name in sets for alpha in ALPHAS}
    made = []
    for (name, alpha), each in found.items():
        low = alpha < 0.1
        data = name.removesuffix("-subset")
        made.append(
            Claim(
                BELOW if low else ABOVE,
                f"sparse minus depth multiplier at alpha {alpha:g}, {data}",
                at_least(each, 0.0) if low else equal(each, EQUAL),
                "points",
            )
        )
    return made


def _gaps(rows: list[Row], name: str, alpha: float) -> list[float]:
    sparse, thin = ({"data": name, "kind": kind, "alpha": alpha} for kind in KINDS)
    return gaps(rows, sparse, thin)


def points(rows: list[Row]) -> tuple[str, str, dict[str, list[tuple[float, list[float]]]]]:
    """What the picture shows: axis labels, and (parameters, accuracies in per cent) by kind."""
    curves: dict[str, list[tuple[float, list[float]]]] = {}
    for row in rows:
        settings = row["settings"]
        where = {key: settings[key] for key in ("data", "kind", "alpha")}
        accuracy = [100 * value for value in values(rows, "accuracy", **where)]
        point = (row["result"]["parameters"] / 1000, accuracy)
        curve = curves.setdefault(f"{settings['data']}, {settings['kind']}", [])
        if settings["seed"] == 0:
            curve.append(point)
    return "thousand parameters", "test accuracy, %", {k: sorted(v) for k, v in curves.items()}


STUDY = Study(
    "sparse_vs_depth_multiplier",
    threads=1,
    cells=cells,
    run=run,
    cut={
        "smoke": "everything",
        "cpu": "5,000 images, 5 epochs, 3 seeds",
        "paper": "",
    },
)
