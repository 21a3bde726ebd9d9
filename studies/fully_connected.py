"""Claims: fully connected layers need few connections, and later ones should keep more.

    python -m studies fully_connected [--scale cpu]

MNIST [1024, 64, 16] and [800, 100, 10], inputs and outputs padded, and Morse [64, 1024, 64], all
with structured patterns (equal fans): the sweep of densities, and about the same number of
connections spent late, early or evenly. And a convolutional network on CIFAR-10 whose
classification layers are dense or have the fewest connections that leave no neuron without one.

Source: "Characterizing Sparse Connectivity Patterns in Neural Networks" (2018) and its authors'
slides: no loss at less than 0.5 % of the classification layers' connections; on MNIST 3 % of the
connections give more than 95 %, and there is no loss at about 40 %. Which network that is follows
from the densities shown alone. That later junctions should be denser is recalled and unverified.
The recipe is the authors' (Adam, 1e-3, batches of 256) without its L2, on MNIST and Morse with a
cosine instead of a constant rate.
"""

import dataclasses
from typing import Any

import torch
from _claims import FAILED, UNDECIDED, Claim, Finding, at_least, no_loss
from _grid import Desk, Row, Settings, Study, gaps, values
from _study import first_samples, loaded
from torch import nn

import openwork as ow
from openwork.data import DataSet

NARROW = "mnist 1024-64-16"
# Densities of the two junctions: (fan-out 1, 16) of [1024, 64, 16] is 3.08 %, (24, 16) is 38.5 %.
KINDS: dict[str, dict[str, tuple[float, float]]] = {
    NARROW: {
        "dense": (1.0, 1.0),
        "3 %": (1 / 64, 1.0),
        "40 %": (24 / 64, 1.0),
        "late": (2 / 64, 1.0),
        "early": (3 / 64, 1 / 16),
        "even": (3 / 64, 3 / 16),
    },
    "mnist 800-100-10": {
        "dense": (1.0, 1.0),
        "40 %": (0.4, 1.0),
        "late": (0.05, 1.0),
        "early": (0.06, 0.2),
        "even": (0.06, 0.1),
    },
    "morse 64-1024-64": {
        "dense": (1.0, 1.0),
        "late": (1 / 16, 3 / 16),
        "early": (3 / 16, 1 / 16),
        "even": (1 / 8, 1 / 8),
    },
}
CONV = "cifar10 conv"
# Scale -> seeds, epochs, images, and whether the network is the authors' deep one.
CONV_SIZES: dict[str, tuple[int, int, int | None, bool]] = {
    "smoke": (1, 1, 300, False),
    "cpu": (3, 6, 1500, False),
    "paper": (5, 100, None, True),
}
# Scale -> seeds, epochs on MNIST and on Morse, learning rate: fewer steps have to be longer.
SIZES = {
    "smoke": (1, 2, 1, 1e-3),
    "cpu": (3, 5, 1, 4e-3),
    # The slides' figures are after 30 epochs, the authors' code trains for 50.
    "paper": (5, 30, 30, 1e-3),
}


def cells(scale: str) -> list[Settings]:
    seeds, mnist, morse, lr = SIZES[scale]
    smoke = scale == "smoke"
    found = [
        {
            "network": network,
            "kind": kind,
            "densities": list(densities),
            "data": "mnist-subset" if smoke and "mnist" in network else network.split()[0],
            "train": 1500 if smoke else None,
            "epochs": mnist if "mnist" in network else morse,
            "lr": lr,
            "seed": seed,
        }
        for seed in range(seeds)
        for network, kinds in KINDS.items()
        for kind, densities in kinds.items()
    ]
    found.sort(key=_turn)
    conv_seeds, epochs, images, deep = CONV_SIZES[scale]
    found += [
        {
            "network": CONV,
            "kind": kind,
            "deep": deep,
            "data": "cifar10",
            "train": images,
            "epochs": epochs,
            # With few images, smaller batches, or there would be too few steps.
            "batch": 256 if deep else 64,
            "lr": 1e-3 if deep else 3e-3,
            "seed": seed,
        }
        for seed in range(conv_seeds)
        for kind in ("dense", "fewest")
    ]
    return found


def _turn(cell: Settings) -> int:
    """What a claim with a figure of the authors needs comes first; Morse takes longest."""
    if "morse" in cell["network"]:
        return 3
    if cell["network"] == NARROW and cell["kind"] in ("dense", "3 %", "40 %"):
        return 0
    return 1 if cell["kind"] in ("late", "early") else 2


def run(settings: Settings, desk: Desk) -> dict[str, Any]:
    data = loaded(settings["data"])
    data = first_samples(data, settings["train"], settings["train"])
    convolutional = settings["network"] == CONV
    model = _conv_net(settings) if convolutional else _mlp(settings, data)
    recipe = ow.train.Recipe(
        epochs=settings["epochs"],
        batch_size=settings.get("batch", 256),
        optimizer="adam",
        lr=settings["lr"],
        schedule="constant" if convolutional else "cosine",
        seed=settings["seed"],
    )
    return {"density": _classifier_density(model), **desk.fit(model, data, recipe)}


def _mlp(settings: Settings, data: DataSet) -> nn.Module:
    torch.manual_seed(settings["seed"])
    inputs, hidden, outputs = map(int, settings["network"].split()[1].split("-"))
    padding = inputs - data.channels * data.image_size[0] ** 2
    layers = {
        "flatten": nn.Flatten(),
        "pad": nn.ConstantPad1d((0, padding), 0.0),
        "junction 1": nn.Linear(inputs, hidden),
        "relu": nn.ReLU(),
        "junction 2": nn.Linear(hidden, outputs),
    }
    model = nn.Sequential()
    for name, layer in layers.items():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.constant_(layer.bias, 0.1)
        model.add_module(name, layer)
    rules = {
        f"junction {number}": {"pattern": "structured", "density": density}
        for number, density in enumerate(settings["densities"], start=1)
    }
    return ow.sparsify_(model, ow.Plan(rules, seed=settings["seed"]))


def _conv_net(settings: Settings) -> nn.Module:
    """The authors' deep network, and their shallow one with 60 filters; 32 x 32 images."""
    torch.manual_seed(settings["seed"])
    deep = settings["deep"]
    blocks = ((60, 60), (125, 125), (250, 250)) if deep else ((60,),)
    size, pool = (3, 2) if deep else (5, 8)
    layers: list[nn.Module] = []
    channels, side = 3, 32
    for widths in blocks:
        for width in widths:
            layers.append(nn.Conv2d(channels, width, size, padding=size // 2, bias=False))
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers += [nn.MaxPool2d(pool), nn.Dropout(0.5 if deep else 0.25)]
        side //= pool
    layers += [nn.Flatten(), nn.Linear(channels * side**2, 500), nn.ReLU(), nn.Linear(500, 10)]
    model = nn.Sequential(*layers)
    if settings["kind"] == "fewest":
        # The lowest density that leaves no neuron unconnected.
        fewest = {"pattern": "random", "density": 1e-6, "fan": "uniform"}
        ow.sparsify_(model, ow.Plan({"linear:*": fewest}, seed=settings["seed"]))
    return model


def _classifier_density(model: nn.Module) -> float:
    linear = [m for m in model.modules() if isinstance(m, nn.Linear | ow.SparseLinear)]
    live = sum(m.weight.numel() for m in linear)
    return live / sum(m.in_features * m.out_features for m in linear)


def claims(rows: list[Row]) -> list[Claim]:
    late = [
        at_least(gaps(rows, _cell(network, "late"), _cell(network, "early")), 0.0)
        for network in KINDS
    ]
    return [
        Claim(
            "Classification layers lose nothing at less than 0.5 % of their connections",
            "CIFAR-10, accuracy with the fewest minus all of them; a loss of 0.5 points counts",
            no_loss(gaps(rows, _cell(CONV, "fewest"), _cell(CONV, "dense")), 0.5),
            "points",
        ),
        Claim(
            "On MNIST 3 % of the connections give more than 95 % (the paper's slides)",
            "test accuracy of [1024, 64, 16] at 3.08 %, the network that the slides' densities fit",
            _long_enough(
                rows,
                at_least([100 * a for a in values(rows, "accuracy", **_cell(NARROW, "3 %"))], 95.0),
            ),
            "%",
        ),
        Claim(
            "On MNIST about 40 % of the connections lose nothing (the paper's slides)",
            "accuracy of [1024, 64, 16] at 38.5 % minus dense; a loss of 0.2 points counts",
            _long_enough(
                rows,
                no_loss(gaps(rows, _cell(NARROW, "40 %"), _cell(NARROW, "dense")), 0.2),
            ),
            "points",
        ),
        *(
            Claim(
                "At about equal numbers of connections the later junction should be denser "
                "(recalled, not verified)",
                f"accuracy with the later junction denser minus the earlier one, {network}",
                found,
                "points",
            )
            for network, found in zip(KINDS, late, strict=True)
        ),
    ]


def points(rows: list[Row]) -> tuple[str, str, dict[str, list[tuple[float, list[float]]]]]:
    """What the picture shows: axis labels, and (density, accuracies in per cent) per network."""
    curves: dict[str, list[tuple[float, list[float]]]] = {}
    for network, kinds in {**KINDS, CONV: ("dense", "fewest")}.items():
        found = []
        for kind in kinds:
            density = values(rows, "density", **_cell(network, kind))
            accuracy = [100 * a for a in values(rows, "accuracy", **_cell(network, kind))]
            if density:
                found.append((100 * density[0], accuracy))
        if found:
            curves[network] = sorted(found)
    return "connections, %", "test accuracy, %", curves


def _cell(network: str, kind: str) -> Settings:
    return {"network": network, "kind": kind}


def _long_enough(rows: list[Row], finding: Finding) -> Finding:
    """`finding`, but undecided where it failed after fewer epochs than the slides' 30.

    Sparse networks learn more slowly: a short run can show that little is lost, not that much is.
    """
    if finding.verdict == FAILED and any(
        row["settings"]["epochs"] < 30 for row in rows if "mnist" in row["settings"]["network"]
    ):
        return dataclasses.replace(finding, verdict=UNDECIDED)
    return finding


STUDY = Study(
    "fully_connected",
    threads=1,
    cells=cells,
    run=run,
    cut={
        "smoke": "everything",
        "cpu": "5 epochs on MNIST, 1 on Morse (the authors: 50), at a rate of 4e-3 (1e-3); 3 "
        "seeds; on CIFAR-10 one convolution, 1,500 images, 6 epochs (100)",
        "paper": "30 epochs (the authors' code: 50)",
    },
)
