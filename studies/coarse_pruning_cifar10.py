"""Claim: more than 85 % of a network's convolution weights can be removed for one point of error.

    python -m studies coarse_pruning_cifar10 [--scale paper]

CNN_small, trained here, and a ResNet-56 that others trained: feature maps alone, kernels alone, and
kernels after feature maps, chosen by the best of N masks as in the paper, by a criterion, or by a
criterion and retrained with the whole network as teacher. Every network is retrained in the same
way, including the whole one, which all are compared with. Shares are of the weights of all
convolutions but the first.

Source: "Compact Deep CNNs With Coarse Pruning" (Anwar, Sung, arXiv 1610.09639): of CNN_small's
weights about 60 % with feature maps alone (its widths give 55 %: 35 % of the maps of each layer),
70 % with kernels, more than 75 % with both, more than 85 % at best; at most one point of error.
That it should hold for a ResNet is our question.
"""

from typing import Any

from _claims import Claim, no_loss
from _coarse import run
from _grid import Row, Settings, Study, gaps, values

MAPS, KERNELS, BOTH = "feature maps", "kernels", "feature maps, then kernels"
# Removing a share q of the maps removes 1 - (1 - q) ** 2 of the kernels between pruned layers.
STAGES: dict[str, list[list[list[Any]]]] = {
    "whole network": [[]],
    MAPS: [[["feature_map", ratio]] for ratio in (0.2, 0.35, 0.5)],
    KERNELS: [[["kernel", ratio]] for ratio in (0.5, 0.7, 0.85)],
    BOTH: [
        [["feature_map", 0.3]],
        *([["feature_map", 0.3], ["kernel", ratio]] for ratio in (0.5, 0.7, 0.85)),
    ],
}
# Those of a trained ResNet: (stages, by, teacher), first what tells most for its time.
RESNET: list[tuple[list[list[Any]], str, bool]] = [
    ([], "", False),
    ([["kernel", 0.5]], "l1", False),
    ([["kernel", 0.5]], "search", False),
    ([["kernel", 0.5]], "l1", True),
    ([["feature_map", 0.3]], "l1", False),
    ([["feature_map", 0.3], ["kernel", 0.5]], "l1", True),
    ([["kernel", 0.7]], "l1", True),
    ([["kernel", 0.3]], "l1", False),
    ([["kernel", 0.3]], "search", False),
    ([["feature_map", 0.3]], "search", False),
    ([["feature_map", 0.5]], "l1", True),
    ([["feature_map", 0.5], ["kernel", 0.5]], "l1", True),
]
# Scale -> network -> seeds and sizes.
SIZES: dict[str, dict[str, tuple[int, Settings]]] = {
    "smoke": {
        "cnn_small": (
            1,
            {
                "width": 0.0625,
                "train": 128,
                "held_out": 32,
                "test": 64,
                "epochs": 1,
                "retrain": 1,
                "candidates": 2,
                "batch": 64,
                "lr": 2e-3,
            },
        ),
    },
    "cpu": {
        "cnn_small": (
            3,
            {
                "width": 0.25,
                "train": 4000,
                "held_out": 1000,
                "test": 4000,
                "epochs": 12,
                "retrain": 8,
                "candidates": 100,
                "batch": 64,
                "lr": 2e-3,
            },
        ),
        "resnet56": (
            3,
            {
                "train": 2560,
                "held_out": 400,
                "test": 2000,
                "retrain": 2,
                "candidates": 100,
                "batch": 64,
                "lr": 0.01,
            },
        ),
    },
    "paper": {
        "cnn_small": (
            3,
            {
                "width": 1.0,
                "train": None,
                "held_out": None,
                "test": None,
                "epochs": 60,
                "retrain": 20,
                "candidates": 200,
                "batch": 128,
                "lr": 1e-3,
            },
        ),
        "resnet56": (
            3,
            {
                "train": None,
                "held_out": None,
                "test": None,
                "retrain": 20,
                "candidates": 100,
                "batch": 128,
                "lr": 0.01,
            },
        ),
    },
}
# What the paper's figures for CNN_small are nearest to.
CLAIMS = {
    "About 60 % of CNN_small's weights go with feature maps for one point": STAGES[MAPS][1],
    "70 % of CNN_small's weights go with kernels for one point": STAGES[KERNELS][1],
    "More than 75 % of CNN_small's weights go with feature maps, then kernels, for one point": (
        STAGES[BOTH][2]
    ),
    "More than 85 % of a network's weights go for one point": STAGES[BOTH][3],
}


def cells(scale: str) -> list[Settings]:
    found = []
    for network, (seeds, sizes) in SIZES[scale].items():
        small = network == "cnn_small"
        kinds = [(s, "search" if s else "", False) for s in _stages(scale)]
        found += [
            {
                "network": network,
                **sizes,
                "stages": stages,
                "by": by,
                "teacher": teacher,
                "seed": seed,
            }
            for seed in range(seeds)
            for stages, by, teacher in (kinds if small else RESNET)
        ]
    return found


def _stages(scale: str) -> list[list[list[Any]]]:
    """All of them; of the smoke scale no two that differ in their ratios alone."""
    most = {BOTH: 2} if scale == "smoke" else dict.fromkeys(STAGES)
    return [stages for name, all_ in STAGES.items() for stages in all_[: most.get(name, 1)]]


def claims(rows: list[Row]) -> list[Claim]:
    made = []
    for text, stages in CLAIMS.items():
        where = _cell("cnn_small", stages, "search", False)
        made.append(_claim(rows, text, where))
    for stages, by, teacher in RESNET[1:]:
        where = _cell("resnet56", stages, by, teacher)
        text = "Of a ResNet-56 trained by others as much goes for one point (our question)"
        made.append(_claim(rows, text, where))
    return made


def _claim(rows: list[Row], text: str, where: Settings) -> Claim:
    """That the cut network `where` loses less than one point."""
    gone = values(rows, "conv_sparsity", **where)
    share = f"{100 * sum(gone) / len(gone):.0f} % removed, " if gone else ""
    whole = _cell(where["network"], [], "", False)
    name = _name(where)
    measure = f"{share}{name}: accuracy minus the whole network's, retrained alike"
    return Claim(text, measure, no_loss(gaps(rows, where, whole), 1.0), "points", name)


def _cell(network: str, stages: list[list[Any]], by: str, teacher: bool) -> Settings:
    return {"network": network, "stages": stages, "by": by, "teacher": teacher}


def _name(settings: Settings) -> str:
    """Such as "kernels 0.5 by l1, taught"."""
    words = {"feature_map": MAPS, "kernel": KERNELS}
    cuts = ", then ".join(f"{words[which]} {ratio:g}" for which, ratio in settings["stages"])
    return f"{cuts} by {settings['by']}" + ", taught" * settings["teacher"]


def points(rows: list[Row]) -> tuple[str, str, dict[str, list[tuple[float, list[float]]]]]:
    """What the picture shows: axis labels, and (share removed, accuracies) by kind of cut."""
    words = {"feature_map": MAPS, "kernel": KERNELS}
    curves: dict[str, list[tuple[float, list[float]]]] = {}
    keys = ("network", "stages", "by", "teacher")
    seen = []
    for row in rows:
        where = {key: row["settings"][key] for key in keys}
        if where in seen:
            continue
        seen.append(where)
        cuts = " then ".join(words[which] for which, _ in where["stages"]) or "whole network"
        how = f" by {where['by']}" if where["by"] else ""
        name = f"{where['network']}, {cuts}{how}{' taught' * where['teacher']}"
        gone = values(rows, "conv_sparsity", **where)
        accuracy = [100 * value for value in values(rows, "accuracy", **where)]
        curves.setdefault(name, []).append((100 * sum(gone) / len(gone), accuracy))
    across = "share of weights removed, %"
    return across, "test accuracy, %", {name: sorted(found) for name, found in curves.items()}


STUDY = Study(
    "coarse_pruning_cifar10",
    threads=1,
    cells=cells,
    run=run,
    cut={
        "smoke": "everything",
        "cpu": "CNN_small: a quarter of the width, 4,000 images, 12 epochs, 8 of retraining, 4,000 "
        "test images; ResNet-56: retrained for 2 epochs on 2,560 images, 2,000 test images, masks "
        "judged on 400 images that it was trained on",
        "paper": "60 and 20 epochs, masks of ResNet-56 judged on images that it was trained on",
    },
)
