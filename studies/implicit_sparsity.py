"""Claim: with an L2 penalty Adam leaves most filters dead, with decoupled decay fewer, SGD fewest.

    python studies/implicit_sparsity.py [--scale paper] [--data-root FOLDER]

Needs CIFAR-10 (`OPENWORK_DATA` or the hub). BasicNet is trained with several optimisers, penalties
of several strengths and batch sizes; counted are dead channels of its convolutions, by |gamma| <
1e-3 and by activations never above 1e-12 on the training images, and the test error.

Source: "On Implicit Filter Level Sparsity in Convolutional Neural Networks" (2019): adaptive
optimisers with L2 leave more dead filters than SGD, L2 far more than decoupled decay for Adam and
about as many for SGD; stronger penalties and smaller batches leave more. A strength is the paper's
lambda: L2 adds lambda * weight to the gradient, decay multiplies weights by 1 - lambda at the first
rate and is scaled down with it. Recalled from notes on the paper, not verified: batches of 40, 325
epochs with a tenth of the rate after 250, flips, rates. Our reading: what `openwork.models` builds
as BasicNet, its initialisation, Adam's second beta of 0.999, RMSProp without momentum.
"""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from _basicnet import build, data_set, watch
from _study import Record, figure, history, options

import openwork as ow
from openwork.data import DataSet
from openwork.train.optimizers import DEFAULT_LR

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    depth_multiplier: float
    epochs: int
    seeds: int


SCALES = {"cpu": Scale(0.125, 30, 1), "paper": Scale(1.0, 325, 3)}


@dataclass(frozen=True)
class Run:
    """One way to train; `decoupled` tells decay from L2."""

    optimizer: str
    strength: float = 1e-3
    decoupled: bool = False
    batch_size: int = 40

    @property
    def name(self) -> str:
        penalty = "decay" if self.decoupled else "L2"
        return f"{self.optimizer} {penalty}" if self.strength else self.optimizer

    def recipe(self, epochs: int, seed: int) -> ow.train.Recipe:
        lr = DEFAULT_LR[self.optimizer]
        return ow.train.Recipe(
            epochs=epochs,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            lr=lr,
            momentum=0.9 if self.optimizer == "sgd" else 0.0,
            l2=0.0 if self.decoupled else self.strength,
            weight_decay=self.strength / lr if self.decoupled else 0.0,
            schedule="step",
            milestones=(250 / 325,),
            flip=True,
            seed=seed,
        )


STRENGTHS = (1e-4, 1e-3, 4e-3)
RUNS = (
    Run("adam"),
    Run("adam", decoupled=True),
    Run("sgd"),
    Run("sgd", decoupled=True),
    Run("adagrad"),
    Run("rmsprop"),
    Run("adam", 0.0),
    Run("sgd", 0.0),
    *(Run(name, strength) for name in ("adam", "sgd") for strength in (4e-3, 1e-4)),
    *(Run(name, 4e-3, decoupled=True) for name in ("adam", "sgd")),
    *(Run("adam", batch_size=size) for size in (20, 120)),
)


def measure(run: Run, seed: int, data: DataSet, scale: Scale) -> dict[str, object]:
    model = build(data, scale.depth_multiplier, seed)
    last = history(model, data, run.recipe(scale.epochs, seed))[-1]
    report = watch(model, data)
    return {
        "by_scale": report.dead_by_scale(),
        "by_activation": report.dead_by_activation(),
        "test_error": 1 - last.test_accuracy,
        "train_accuracy": last.train_accuracy,
        "layers": [report.dead_by_activation([layer]) for layer in report.layers],
    }


def mean(record: Record, key: str, run: Run) -> float:
    """The mean over seeds."""
    values = record.values(key, **dataclasses.asdict(run))
    return sum(values) / len(values)


def draw(record: Record) -> "Figure":
    picture, (bars, lines, late) = figure(3, "Dead filters of BasicNet, CIFAR-10")
    shown = RUNS[:8]
    places = range(len(shown))
    for offset, key in ((-0.2, "by_scale"), (0.2, "by_activation")):
        shares = [100 * mean(record, key, run) for run in shown]
        bars.barh([n + offset for n in places], shares, 0.4, label=key.replace("_", " "))
    bars.set(yticks=places, yticklabels=[run.name for run in shown], xlabel="dead filters, %")
    bars.invert_yaxis()
    bars.set_title("strength 1e-3, or none")
    for name, decoupled in (("adam", False), ("adam", True), ("sgd", False), ("sgd", True)):
        runs = [Run(name, strength, decoupled) for strength in STRENGTHS]
        runs = [run for run in runs if run in RUNS]
        shares = [100 * mean(record, "by_scale", run) for run in runs]
        lines.plot([run.strength for run in runs], shares, "o-", label=runs[0].name)
    lines.set(xscale="log", xlabel="strength", ylabel="dead by scale, %", ylim=(-2, 102))
    for run in (*RUNS[:3], Run("adam", batch_size=20), Run("adam", batch_size=120)):
        per_layer = [100 * share for share in _layer_means(record, run)]
        late.plot(range(1, 8), per_layer, "o-", label=f"{run.name}, batch {run.batch_size}")
    late.set(xlabel="convolution", ylabel="dead by activation, %", ylim=(-2, 102))
    for ax in (bars, lines, late):
        ax.legend(fontsize=8)
    return picture


def _layer_means(record: Record, run: Run) -> list[float]:
    seeds = record.values("layers", **dataclasses.asdict(run))
    return [sum(shares) / len(seeds) for shares in zip(*seeds, strict=True)]


def main() -> None:
    asked = options(__doc__)
    scale, data = SCALES[asked.scale], data_set(asked)
    record = Record(__file__, asked, scale=dataclasses.asdict(scale), train=len(data.train))
    for run in RUNS:
        for seed in range(scale.seeds):
            row = measure(run, seed, data, scale)
            record.add(**dataclasses.asdict(run), seed=seed, **row)
    keys = ("by_scale", "by_activation", "test_error")
    record.save(
        draw(record),
        percent={
            f"{run.name} {run.strength:g}, batch {run.batch_size}": {
                key: 100 * mean(record, key, run) for key in keys
            }
            for run in RUNS
        },
    )


if __name__ == "__main__":
    main()
