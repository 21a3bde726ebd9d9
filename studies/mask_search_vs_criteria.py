"""Claim: the best of N random masks does less harm before retraining than weights' sums choose.

    python studies/mask_search_vs_criteria.py [--scale paper] [--data-root FOLDER]

Needs CIFAR-10 (`OPENWORK_DATA` or the hub). Kernels of CNN_small go at several ratios, chosen by
search, by the sum of absolute weights ("l1", Li et al. 2016), by the change of the loss to first
order ("taylor", Molchanov et al. 2019), and by one random mask. Errors are on the test split,
right after the cut, with normalisation measured anew, and after the same retraining.

Source: Section 3 of "Compact Deep CNNs With Coarse Pruning" (Anwar, Sung, arXiv 1610.09639), which
finds the search better than "l1" before retraining, above all at high ratios; its figures are not
recovered. What comes after retraining is our question.

Result at the scale "cpu" (mask_search_vs_criteria_cpu.json; a quarter of the width, 4,000 images,
12 epochs, 2 of retraining, 16 masks, one seed, one thread of a busy AMD EPYC, 29 minutes): the
claim did not hold. Test error in %, of the whole network 35.4:

    kernels gone        30 %    50 %    70 %
    cut      search     82.5    88.9    86.7
             l1         69.7    83.6    89.0
             taylor     44.6    69.4    87.4
             random     88.8    90.1    90.1
    retrained search    38.5    41.2    43.9
             l1         35.6    38.8    41.7
             taylor     35.9    37.3    39.2
             random     38.4    41.1    43.3

The best of 16 masks does less harm than one random mask before retraining, but less than "l1" only
where all are near chance; normalisation measured anew takes even the lead over the random mask
away, and after retraining both criteria are ahead. The test has 2,000 images: 1.5 points are noise.
16 masks are few: the paper draws 100 for ratios up to 0.4. Its scale has not been run.
"""

import dataclasses
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from _cnn_small import CONVOLUTIONS, Experiment
from _study import Record, figure, options
from torch import nn

import openwork as ow
from openwork import prune
from openwork.prune import Stage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATIOS = (0.3, 0.5, 0.7)
METHODS = ("search", "l1", "taylor", "random")
MOMENTS = {
    "cut": "right after the cut",
    "recalibrated": "normalisation measured anew",
    "retrained": "after retraining",
}


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
        progress=False,
    )
    row = {"accuracy": 1 - result.retrained, **dataclasses.asdict(result)}
    if choose.first_rung:
        errors = choose.first_rung
        row["candidates_first_rung"] = {
            "best": min(errors),
            "median": statistics.median(errors),
            "worst": max(errors),
        }
    return row


def draw(record: Record) -> "Figure":
    picture, panels = figure(3, "Kernels of CNN_small on CIFAR-10")
    (trained,) = record.values("trained", method="none")
    for ax, (moment, title) in zip(panels, MOMENTS.items(), strict=True):
        for method in METHODS:
            errors = [100 * error for error in record.values(moment, method=method)]
            ax.plot(record.values("ratio", method=method), errors, "o-", label=method)
        ax.axhline(100 * trained, color="0.5", lw=1, label="whole network")
        ax.set(title=title, xlabel="share of kernels that is gone", ylabel="test error, %")
    panels[0].legend(fontsize=8)
    return picture


def finish(record: Record) -> None:
    errors = {m: {k: record.values(k, method=m) for k in MOMENTS} for m in METHODS}
    record.save(draw(record), ratios=RATIOS, errors=errors)


def main() -> None:
    asked = options(__doc__)
    experiment = Experiment(asked)
    record = Record(__file__, asked, scale=dataclasses.asdict(experiment.scale))
    trained = experiment.test_error(experiment.network, 1.0)
    record.add(method="none", accuracy=1 - trained, trained=trained)
    for method in METHODS:
        for ratio in RATIOS:
            record.add(method=method, **run(experiment, method, ratio))
    finish(record)


if __name__ == "__main__":
    main()
