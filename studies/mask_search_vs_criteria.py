"""Claim: the best of N random masks does less harm before retraining than weights' sums choose.

    python studies/mask_search_vs_criteria.py [--scale cpu|paper] [--base FILE]

Needs CIFAR-10 (`OPENWORK_DATA` or the hub). Kernels of CNN_small go at several ratios, chosen by
search, by the sum of absolute weights ("l1", Li et al. 2016), by the change of the loss to first
order ("taylor", Molchanov et al. 2019), and by one random mask. Errors are on the test split,
right after the cut, with normalisation measured anew, and after the same retraining.

Source: Section 3 of "Compact Deep CNNs With Coarse Pruning" (Anwar, Sung, arXiv 1610.09639), which
finds the search better than "l1" before retraining, above all at high ratios; its figures are not
recovered. What comes after retraining is our question.

Result: mask_search_vs_criteria.json and .png beside this file, for the scale that was run, with
the spread of all candidates. At the "cpu" scale, one seed, the claim did not hold. Whole network
35.4 % error; after the cut at 30 / 50 / 70 % of the kernels: search 82.5 / 88.9 / 86.7, l1 69.7 /
83.6 / 89.0, taylor 44.6 / 69.4 / 87.4, random 88.8 / 90.1 / 90.1. The best of 16 masks beats one
random mask, and l1 only where all are near chance; normalisation measured anew takes that away,
and after retraining both criteria are ahead of it (taylor 39.2, l1 41.7, search 43.9 at 70 %).
2,000 test images: a difference of 1.5 points is noise. The "paper" scale has not been run.
"""

import json
import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch.nn.functional as F
from cnn_small_on_cifar10 import CONVOLUTIONS, SCALES, Experiment, arguments, conditions
from matplotlib.figure import Figure
from torch import nn

import openwork as ow
from openwork import prune
from openwork.nn import LayerTable
from openwork.prune import Stage

RATIOS = (0.3, 0.5, 0.7)
METHODS = ("search", "l1", "taylor", "random")
MOMENTS = ("cut", "recalibrated", "retrained")


class Chooser:
    """Makes the plan of a method, and keeps the scores of a search's candidates."""

    def __init__(self, experiment: Experiment, method: str) -> None:
        self._experiment, self._method = experiment, method
        self.first_rung: list[float] = []

    def __call__(self, model: nn.Module, stage: Stage, index: int) -> ow.Plan:
        if self._method == "search":
            with tempfile.TemporaryDirectory() as folder:
                log = Path(folder) / "log"
                plan = self._experiment.search(model, stage, index, log)
                scores = prune.read_log(log)
            least = min(score.share for score in scores)
            self.first_rung = [score.error for score in scores if score.share == least]
            return plan
        return prune.by_criterion(
            model,
            self._method,
            granularity=stage.granularity,
            ratio=stage.ratio,
            layers=CONVOLUTIONS,
            batches=self._experiment.batches(8),
            loss=F.cross_entropy,
            progress=False,
        )


def run(experiment: Experiment, method: str, ratio: float) -> dict[str, Any]:
    choose = Chooser(experiment, method)
    (result,) = prune.in_stages_(
        experiment.copy(),
        choose,
        experiment.retrain,
        experiment.test_error,
        stages=[Stage("kernel", ratio)],
        batches=experiment.batches(10),
    )
    row = asdict(result)
    if choose.first_rung:
        errors = choose.first_rung
        row["candidates_first_rung"] = {
            "best": min(errors),
            "median": statistics.median(errors),
            "worst": max(errors),
        }
    return row


def picture(record: dict[str, Any], path: Path) -> None:
    mpl.use("Agg")
    figure = Figure(figsize=(10, 4), layout="constrained")
    titles = ("right after the cut", "normalisation measured anew", "after retraining")
    panels = figure.subplots(1, 3, sharex=True)
    for axes, moment, title in zip(panels, MOMENTS, titles, strict=True):
        for method, rows in record["methods"].items():
            errors = [row[moment] for row in rows]
            axes.plot([row["ratio"] for row in rows], errors, "o-", label=method)
        axes.axhline(record["trained"], color="0.5", lw=1, label="whole network")
        axes.set(title=title, xlabel="share of kernels that is gone")
    panels[0].set_ylabel("test error")
    panels[0].legend(fontsize=8)
    figure.suptitle(f"Kernels of CNN_small on CIFAR-10, scale {record['name']!r}")
    figure.savefig(path, dpi=130)


def main() -> None:
    options = arguments(__doc__)
    began = time.perf_counter()
    experiment = Experiment(SCALES[options.scale], options.base)
    record: dict[str, Any] = {
        "name": options.scale,
        "trained": experiment.test_error(experiment.network, 1.0),
        "methods": {m: [run(experiment, m, ratio) for ratio in RATIOS] for m in METHODS},
    }
    record |= conditions(experiment.scale, time.perf_counter() - began)
    Path(__file__).with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")
    picture(record, Path(__file__).with_suffix(".png"))
    columns = ("method", *(f"{moment} {ratio:.0%}" for moment in MOMENTS for ratio in RATIOS))
    table = tuple(
        (method, *(f"{row[moment]:.2%}" for moment in MOMENTS for row in rows))
        for method, rows in record["methods"].items()
    )
    LayerTable(columns, table).print()


if __name__ == "__main__":
    main()
