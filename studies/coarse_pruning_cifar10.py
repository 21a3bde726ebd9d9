"""Claim: more than 85 % of CNN_small's convolution weights can go for one point of error.

    python studies/coarse_pruning_cifar10.py [--scale cpu|paper] [--base FILE]

Needs CIFAR-10 (`OPENWORK_DATA` or the hub). Masks by search, as in the paper: feature maps alone
(claim: about 60 %), kernels alone (about 70 %), and kernels after half of the connections went
with feature maps (more than 85 %). Each network is retrained alike; so is the whole one, whose
error is the baseline. Ratios are shares of the weights of convolutions 2 to 6.

Source: "Compact Deep CNNs With Coarse Pruning" (Anwar, Sung, arXiv 1610.09639).

Result: coarse_pruning_cifar10.json and .png beside this file, for the scale that was run.
"""

import copy
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cnn_small_on_cifar10 import SCALES, Experiment, arguments, conditions, conv_sparsity
from matplotlib.figure import Figure
from torch import nn

from openwork import prune
from openwork.nn import LayerTable
from openwork.prune import Stage

TOLERANCE = 0.01
CLAIMS = {"feature maps": 0.60, "kernels": 0.70, "feature maps, then kernels": 0.85}
# A share q of the maps takes 1 - (1 - q) ** 2 of the kernels between two pruned layers with it.
MAPS = (0.2, 0.35, 0.5)
KERNELS = (0.5, 0.7, 0.85)
HALF = Stage("feature_map", 0.3)
LEFT = (0.5, 0.7, 0.85)

Row = dict[str, Any]


def run(experiment: Experiment, network: nn.Module, stage: Stage) -> tuple[nn.Module, Row]:
    """A copy of `network` after one more cut and retraining, and what that came to."""
    model = copy.deepcopy(network)
    (result,) = prune.in_stages_(
        model,
        experiment.search,
        experiment.retrain,
        experiment.test_error,
        stages=[stage],
        batches=experiment.batches(10),
    )
    return model, {"conv_sparsity": conv_sparsity(model), **asdict(result)}


def series(experiment: Experiment) -> dict[str, list[Row]]:
    whole = experiment.network
    half, first = run(experiment, whole, HALF)
    return {
        "feature maps": [run(experiment, whole, Stage("feature_map", r))[1] for r in MAPS],
        "kernels": [run(experiment, whole, Stage("kernel", r))[1] for r in KERNELS],
        "feature maps, then kernels": [
            first,
            *(run(experiment, half, Stage("kernel", ratio))[1] for ratio in LEFT),
        ],
    }


def largest(rows: list[Row], baseline: float) -> float:
    """The largest share that went for at most one point of error, 0 if none did."""
    good = [r["conv_sparsity"] for r in rows if r["retrained"] <= baseline + TOLERANCE]
    return max(good, default=0.0)


def picture(record: dict[str, Any], path: Path) -> None:
    mpl.use("Agg")
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    baseline = record["baseline"]
    axes.axhspan(0, baseline + TOLERANCE, color="0.93", label="at most one point more")
    axes.axhline(baseline, color="0.4", lw=1, label="whole network, retrained alike")
    for name, rows in record["series"].items():
        x = [row["conv_sparsity"] for row in rows]
        (line,) = axes.plot(x, [row["retrained"] for row in rows], "o-", label=name)
        axes.plot(x, [row["recalibrated"] for row in rows], "o:", color=line.get_color(), alpha=0.5)
    lowest = min(row["retrained"] for rows in record["series"].values() for row in rows)
    axes.set(
        xlabel="share of the weights of convolutions 2 to 6 that is gone",
        ylabel="test error (dotted: before retraining,\nnormalisation measured anew)",
        ylim=(0.9 * min(lowest, baseline), 1),
        title=f"CNN_small on CIFAR-10, scale {record['name']!r}",
    )
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=130)


def main() -> None:
    options = arguments(__doc__)
    began = time.perf_counter()
    experiment = Experiment(SCALES[options.scale], options.base)
    whole = experiment.copy()
    trained = experiment.test_error(whole, 1.0)
    experiment.retrain(whole, 0)
    baseline = experiment.test_error(whole, 1.0)
    record: dict[str, Any] = {
        "name": options.scale,
        "trained": trained,
        "baseline": baseline,
        "series": series(experiment),
    }
    rows = [
        (name, f"{claim:.0%}", f"{largest(record['series'][name], baseline):.1%}")
        for name, claim in CLAIMS.items()
    ]
    record["largest_within_one_point"] = {name: found for name, _, found in rows}
    record |= conditions(experiment.scale, time.perf_counter() - began)
    Path(__file__).with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n")
    picture(record, Path(__file__).with_suffix(".png"))
    LayerTable(("granularity", "paper", "here, within one point"), tuple(rows)).print()


if __name__ == "__main__":
    main()
