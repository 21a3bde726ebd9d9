"""Claim: with an L2 penalty Adam leaves most filters dead, with decoupled decay fewer, SGD fewest.

    python studies/implicit_sparsity.py [--scale paper] [--data-root FOLDER]

The paper scale needs CIFAR-10 (`OPENWORK_DATA` or the hub). BasicNet is trained with several
optimisers, penalty strengths and batch sizes. Measured are the dead channels of its convolutions,
by |gamma| < 1e-3 and by activations that never exceed 1e-12 on the training images, and the test
error.

Source: "On Implicit Filter Level Sparsity in Convolutional Neural Networks" (2019): adaptive
optimisers with L2 leave more dead filters than SGD, L2 far more than decoupled decay for Adam and
about as many for SGD; stronger penalties and smaller batches leave more. A strength is the paper's
lambda: L2 adds lambda * weight to the gradient, decay multiplies weights by 1 - lambda at the first
rate and is scaled down with it. Recalled from notes on the paper, not verified: batches of 40, 325
epochs with a tenth of the rate after 250, flips, rates, Adam's second beta of 0.99. Our reading:
what `openwork.models` builds as BasicNet, its initialisation, RMSProp without momentum.

Result at the scale "cpu" (implicit_sparsity_cpu.json; an eighth of the width, 4,000 digits of
16x16 pixels, 80 epochs or 8,000 steps, three seeds, one thread of a busy AMD EPYC, 40 minutes): the
claimed order showed at both strengths. Dead filters by |gamma| and by activation, and test error
(2,000 images), means over the seeds in %, batches of 40 unless stated:

    strength          1e-3                  3e-4
    RMSProp L2        51.4  46.4  3.1
    Adam L2           42.8  36.2  3.1       29.0  17.0  2.9
    Adam decay        21.3  25.1  2.7        0.3   6.8  3.0
    SGD decay          0.3   0.3  2.6
    SGD L2             0     0    2.4        0     0    2.9
    Adagrad L2         0     0    3.6
    Adam, batch of 20 50.7  42.5  2.9
    Adam, batch of 120 25.9 24.6  3.2
    Adam, no penalty   0     0    2.9

By scale, the seeds of a row are at most 8.2 points apart; those of Adam L2 and Adam decay never
overlap, nor do those of Adam decay and SGD, except by scale at 3e-4 where both are near zero.
Stronger penalties and smaller batches leave more dead filters (the epochs are equal, so smaller
batches take more steps), and Adam's dead filters are in the late layers, as in the paper. Unlike in
the paper, Adagrad leaves none and SGD hardly any; SGD's share grows with the steps (at 1e-3, decay
multiplies an unused weight by e^-8 in total). Errors of Adam's networks with and without a penalty
differ by noise. The second beta is decisive: with 0.999 and Adam's usual rate, L2 of 1e-3 left no
dead filter in 6,000 steps; with 0.99 it left 14 %. The mean of squared gradients must fall as fast
as the gradients of the loss; only then does the penalty, divided by its root, take scales to zero
at the learning rate. The settings (steps, adaptive rates three times the usual, strengths) were
chosen after trials with one seed; 1,500 steps at strength 1e-2 had shown another order. The paper's
scale has not been run.
"""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from _basicnet import build, data_set, watch
from _study import Record, figure, history, options

import openwork as ow
from openwork.data import DataSet
from openwork.train.recipe import DEFAULT_LR

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Scale:
    """The sizes of an experiment; `rate` is a factor on the rates of the adaptive optimisers.

    They need at least 1 / rate steps to move a scale from 1 to 0, and the short run has few steps.
    """

    depth_multiplier: float
    epochs: int
    seeds: int
    rate: float
    flip: bool
    strengths: tuple[float, float]


SCALES = {
    "cpu": Scale(0.125, 80, 3, 3.0, False, (3e-4, 1e-3)),
    "paper": Scale(1.0, 325, 3, 1.0, True, (1e-4, 1e-3)),
}


@dataclass(frozen=True)
class Run:
    """One way to train; `decoupled` distinguishes decay from L2."""

    optimizer: str
    strength: float
    decoupled: bool = False
    batch_size: int = 40

    @property
    def name(self) -> str:
        penalty = "decay" if self.decoupled else "L2"
        return f"{self.optimizer} {penalty}" if self.strength else self.optimizer

    def recipe(self, scale: Scale, seed: int) -> ow.train.Recipe:
        lr = DEFAULT_LR[self.optimizer] * (1.0 if self.optimizer == "sgd" else scale.rate)
        return ow.train.Recipe(
            epochs=scale.epochs,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            lr=lr,
            momentum=0.9 if self.optimizer == "sgd" else 0.0,
            beta2=0.99,
            l2=0.0 if self.decoupled else self.strength,
            weight_decay=self.strength / lr if self.decoupled else 0.0,
            schedule="step",
            milestones=(250 / 325,),
            flip=scale.flip,
            seed=seed,
        )


def runs(weak: float, strong: float) -> list[Run]:
    return [
        *(Run(name, strong) for name in ("adam", "sgd", "adagrad", "rmsprop")),
        *(Run(name, strong, decoupled=True) for name in ("adam", "sgd")),
        Run("adam", 0.0),
        *(Run(name, weak) for name in ("adam", "sgd")),
        Run("adam", weak, decoupled=True),
        *(Run("adam", strong, batch_size=size) for size in (20, 120)),
    ]


def measure(run: Run, seed: int, data: DataSet, scale: Scale) -> dict[str, object]:
    model = build(data, scale.depth_multiplier, seed)
    last = history(model, data, run.recipe(scale, seed))[-1]
    report = watch(model, data)
    return {
        "by_scale": report.dead_by_scale(),
        "by_activation": report.dead_by_activation(),
        "accuracy": last.test_accuracy,
        "train_accuracy": last.train_accuracy,
        "layers": [report.dead_by_activation([layer]) for layer in report.layers],
    }


def mean(record: Record, key: str, run: Run) -> float:
    """The mean of `key` over the seeds."""
    values = record.values(key, **dataclasses.asdict(run))
    return sum(values) / len(values)


def draw(record: Record, data_name: str, strengths: tuple[float, float]) -> "Figure":
    picture, (bars, lines, late) = figure(3, f"Dead filters of BasicNet, {data_name}")
    shown = runs(*strengths)[:7]
    places = range(len(shown))
    for offset, key in ((-0.2, "by_scale"), (0.2, "by_activation")):
        shares = [100 * mean(record, key, run) for run in shown]
        bars.barh([n + offset for n in places], shares, 0.4, label=key.replace("_", " "))
    bars.set(yticks=places, yticklabels=[run.name for run in shown], xlabel="dead filters, %")
    bars.invert_yaxis()
    bars.set_title(f"strength {strengths[1]:g}, or none")
    for name, decoupled in (("adam", False), ("adam", True), ("sgd", False)):
        pair = [Run(name, strength, decoupled) for strength in strengths]
        shares = [100 * mean(record, "by_scale", run) for run in pair]
        lines.plot(strengths, shares, "o-", label=pair[0].name)
    lines.set(xscale="log", xlabel="strength", ylabel="dead by scale, %", ylim=(-2, 102))
    for run in (*shown[:2], shown[4], *runs(*strengths)[-2:]):
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
    for run in runs(*scale.strengths):
        for seed in range(scale.seeds):
            row = measure(run, seed, data, scale)
            record.add(**dataclasses.asdict(run), seed=seed, **row)
    keys = ("by_scale", "by_activation", "accuracy")
    record.save(
        draw(record, data.name, scale.strengths),
        percent={
            f"{run.name} {run.strength:g}, batch {run.batch_size}": {
                key: 100 * mean(record, key, run) for key in keys
            }
            for run in runs(*scale.strengths)
        },
    )


if __name__ == "__main__":
    main()
