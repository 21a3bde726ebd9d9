"""Claim: before retraining, the best of N random masks does less harm than sums of weights do.

    python -m studies mask_search_vs_criteria [--scale paper]

Kernels of CNN_small are removed at several ratios, chosen by search, by the sum of absolute weights
("l1", Li et al. 2016), by the first-order change of the loss ("taylor", Molchanov et al. 2019), and
by one random mask. Errors are on the test split, right after the cut, with normalisation
recalibrated, and after the same retraining.

Source: Section 3 of "Compact Deep CNNs With Coarse Pruning" (Anwar, Sung, arXiv 1610.09639), which
finds the search better than "l1" before retraining, especially at high ratios; its figures are not
recovered. What happens after retraining, and beside other criteria, is our question.
"""

from _claims import Claim, at_least
from _coarse import run
from _grid import Row, Settings, Study, paired, values
from coarse_pruning_cifar10 import SIZES as COARSE

RATIOS = (0.3, 0.5, 0.7)
METHODS = ("search", "l1", "taylor", "random")
MOMENTS = {
    "cut": "right after the cut",
    "recalibrated": "normalisation recalibrated",
    "retrained": "after retraining",
}
# Scale -> seeds, epochs of retraining, ratios; the rest as in the study of how far it goes.
SIZES = {"smoke": (1, 1, (0.5,)), "cpu": (3, 2, RATIOS), "paper": (3, 20, RATIOS)}


def cells(scale: str) -> list[Settings]:
    seeds, retrain, ratios = SIZES[scale]
    return [
        {
            "network": "cnn_small",
            **COARSE[scale]["cnn_small"][1],
            "retrain": retrain,
            "stages": [["kernel", ratio]],
            "by": method,
            "teacher": False,
            "seed": seed,
        }
        for seed in range(seeds)
        for ratio in ratios
        for method in METHODS
    ]


def claims(rows: list[Row]) -> list[Claim]:
    return [
        Claim(
            text,
            f"test error {moment}, {other} minus the best of N, {ratio:.0%} of the kernels removed",
            at_least(_harm(rows, key, other, ratio), 0.0),
            "points",
        )
        for text, key, moment, other in (
            (
                "Before retraining the best of N masks does less harm than sums of weights",
                "cut",
                MOMENTS["cut"],
                "l1",
            ),
            (
                "It still does with normalisation recalibrated (our question)",
                "recalibrated",
                MOMENTS["recalibrated"],
                "l1",
            ),
            (
                "After retraining it is still better than sums of weights (our question)",
                "retrained",
                MOMENTS["retrained"],
                "l1",
            ),
            (
                "After retraining it is better than one random mask (our question)",
                "retrained",
                MOMENTS["retrained"],
                "random",
            ),
        )
        for ratio in RATIOS
    ]


def _harm(rows: list[Row], moment: str, other: str, ratio: float) -> list[float]:
    """Points of error by which the cut of `other` is worse than that of the search."""
    stages = [["kernel", ratio]]
    one, two = {"by": other, "stages": stages}, {"by": "search", "stages": stages}
    return [100 * gap for gap in paired(rows, moment, one, two)]


def points(rows: list[Row]) -> tuple[str, str, dict[str, list[tuple[float, list[float]]]]]:
    """What the picture shows: axis labels, and (share removed, errors) by moment and method."""
    curves = {}
    for moment, title in MOMENTS.items():
        for method in METHODS:
            found = []
            for ratio in RATIOS:
                where = {"by": method, "stages": [["kernel", ratio]]}
                if errors := values(rows, moment, **where):
                    found.append((100 * ratio, [100 * error for error in errors]))
            if found:
                curves[f"{title}, {method}"] = found
    return "share of kernels removed, %", "test error, %", curves


STUDY = Study(
    "mask_search_vs_criteria",
    threads=1,
    cells=cells,
    run=run,
    cut={
        "smoke": "everything",
        "cpu": "a quarter of the width, 4,000 images, 12 epochs, 2 of retraining, 4,000 test "
        "images",
        "paper": "60 and 20 epochs",
    },
)
