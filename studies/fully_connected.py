"""Claims: fully connected layers need few connections, and later ones should keep more.

    python -m studies fully_connected [--scale cpu]

MNIST [1024, 64, 16] and [800, 100, 10], inputs and outputs padded, and Morse [64, 1024, 64], all
with structured patterns (equal fans): the sweep of densities, and about the same number of
connections spent late, early or evenly.

Source: "Characterizing Sparse Connectivity Patterns in Neural Networks" (2018) and its authors'
slides: on MNIST 3 % of the connections give more than 95 %, and there is no loss at about 40 %.
That later junctions should be denser is recalled and unverified. The recipe is the authors'
(Adam, 1e-3, batches of 256) without its L2, with a cosine instead of a constant rate.
"""

import dataclasses
from typing import Any

from _claims import FAILED, UNDECIDED, Claim, Finding, at_least, combined, no_loss
from _grid import Desk, Row, Settings, Study, paired, values
from _study import first_samples
from predefined_fc import classifier_density, mlp

import openwork as ow

# Densities of the two junctions: (fan-out 1, 16) of [1024, 64, 16] is 3.08 %, (24, 16) is 38.5 %.
KINDS: dict[str, dict[str, tuple[float, float]]] = {
    "mnist 1024-64-16": {
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
# Scale -> seeds, epochs on MNIST and on Morse, learning rate: fewer steps have to be longer.
SIZES = {
    "smoke": (1, 2, 1, 1e-3),
    "cpu": (3, 5, 1, 4e-3),
    "paper": (5, 50, 50, 1e-3),
}


def cells(scale: str) -> list[Settings]:
    seeds, mnist, morse, lr = SIZES[scale]
    smoke = scale == "smoke"
    return [
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
        # Morse takes longest and comes last.
        for part in ("mnist", "morse")
        for seed in range(seeds)
        for network, kinds in KINDS.items()
        if part in network
        for kind, densities in kinds.items()
    ]


def run(settings: Settings, desk: Desk) -> dict[str, Any]:
    data = ow.data.load(settings["data"])
    data = first_samples(data, settings["train"], settings["train"])
    widths = [int(width) for width in settings["network"].split()[1].split("-")]
    model = mlp((widths[0], widths[1], widths[2]), settings["densities"], data, settings["seed"])
    recipe = ow.train.Recipe(
        epochs=settings["epochs"],
        batch_size=256,
        optimizer="adam",
        lr=settings["lr"],
        seed=settings["seed"],
    )
    return {"density": classifier_density(model), **desk.fit(model, data, recipe)}


def claims(rows: list[Row]) -> list[Claim]:
    narrow = "mnist 1024-64-16"
    late = [
        at_least(
            [100 * d for d in paired(rows, "accuracy", _cell(n, "late"), _cell(n, "early"))], 0.0
        )
        for n in KINDS
    ]
    return [
        Claim(
            "On MNIST 3 % of the connections give more than 95 % (the paper's slides)",
            "test accuracy of [1024, 64, 16] at 3.08 %",
            _long_enough(
                rows,
                at_least([100 * a for a in values(rows, "accuracy", **_cell(narrow, "3 %"))], 95.0),
            ),
            "%",
        ),
        Claim(
            "On MNIST about 40 % of the connections lose nothing (the paper's slides)",
            "accuracy of [1024, 64, 16] at 38.5 % minus dense; a loss of 0.2 points counts",
            _long_enough(
                rows,
                no_loss(
                    [
                        100 * d
                        for d in paired(
                            rows, "accuracy", _cell(narrow, "40 %"), _cell(narrow, "dense")
                        )
                    ],
                    0.2,
                ),
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
        Claim(
            "The same, over the three networks", "all of the three above", combined(late), "points"
        ),
    ]


def points(rows: list[Row]) -> tuple[str, str, dict[str, list[tuple[float, list[float]]]]]:
    """What the picture shows: axis labels, and (density, accuracies in per cent) per network."""
    curves: dict[str, list[tuple[float, list[float]]]] = {}
    for network, kinds in KINDS.items():
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
        "cpu": "5 epochs on MNIST, 1 on Morse (the authors: 50), at a rate of 4e-3 (1e-3); 3 seeds",
        "paper": "",
    },
)
