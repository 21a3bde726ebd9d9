"""Claim: a network that starts at 1 % density and doubles it as it trains catches up with dense.

    python studies/incremental_training.py [--scale paper] [--data-root FOLDER]

All convolutions but the first start with 1 % of their connections and double every T steps; the run
length is the same for all, the learning rate constant. *Dense* trains everything from the first
step; *1 %* never grows. Test accuracy is recorded after each epoch.

Source: "The Power of Sparsity in Convolutional Neural Networks" (2017), incremental training: for
all T the network catches up with the full one; the dip after a doubling is short.

Result at the scale "cpu" (incremental_training_cpu.json; three convolutions, 2,000 MNIST images, 6
epochs of 63 steps, 3 seeds, one thread of a busy AMD EPYC, 13 minutes, openwork 0.1.0, torch
2.13.0): the claim showed, as far as such a short run can show it. Final accuracy, and points above
dense, with 95 % intervals:

    dense                      95.6 +- 0.9
    1 %, never grown           94.4 +- 1.7    -1.1 +- 2.5
    grown in 1/4 of the run    96.2 +- 0.4     0.6 +- 1.3
    grown in 1/2 of the run    96.0 +- 0.3     0.4 +- 1.3
    the same, original values  95.1 +- 0.6    -0.4 +- 0.4

Grown networks end level with dense within the intervals. Starting new weights at zero did no harm
and looked better than original values. How long the dip after a doubling lasts cannot be seen,
because accuracy is measured once per epoch and most doublings fall in between.
"""

import dataclasses

import torch
from _study import Options, Record, curve, figure, history, interval, options
from torch import nn

import openwork as ow
from openwork.data import DataSet
from openwork.train import GrowthSchedule

START = 0.01
RECIPE = ow.train.Recipe(batch_size=32, optimizer="adam", lr=1e-3, schedule="constant")
# Name -> when the seven doublings to full density end, as a share of the run, and how new weights
# start; None: no growth.
KINDS = {
    "dense": None,
    "1 %": None,
    "grown by 1/4": (0.25, "zero"),
    "grown by 1/2": (0.5, "zero"),
    "grown by 1/2, original": (0.5, "original"),
}


def build(kind: str, seed: int, data: DataSet) -> nn.Module:
    torch.manual_seed(seed)
    model = ow.models.build(
        "mnist_3conv" if data.channels == 1 else "cnn_small",
        in_channels=data.channels,
        image_size=data.image_size[0],
        num_classes=data.num_classes,
    )
    if kind != "dense":
        random = {"pattern": "random", "density": START}
        ow.sparsify_(model, ow.Plan({"conv:*": random, "features.0": "dense"}, seed=seed))
    return model


def schedule(kind: str, steps: int) -> GrowthSchedule | None:
    grown = KINDS[kind]
    return (
        GrowthSchedule(START, max(1, int(grown[0] * steps / 7)), init=grown[1]) if grown else None
    )


def data_set(asked: Options) -> DataSet:
    return asked.data("cifar10") if asked.paper else asked.data("mnist-subset", 2000)


def main() -> None:
    asked = options(__doc__)
    epochs, seeds = (100, 3) if asked.paper else (6, 3)
    data = data_set(asked)
    steps = epochs * -(-len(data.train) // RECIPE.batch_size)
    record = Record(__file__, asked, recipe=RECIPE.to_dict(), epochs=epochs, seeds=seeds)
    for kind in KINDS:
        for seed in range(seeds):
            growth = schedule(kind, steps)
            recipe = dataclasses.replace(RECIPE, epochs=epochs, seed=seed, growth=growth)
            for row in history(build(kind, seed, data), data, recipe):
                record.add(network=kind, seed=seed, epoch=row.epoch, accuracy=row.test_accuracy)
    picture, (ax,) = figure(1, f"From {START:.0%} by doublings, {data.name}")
    ticks = range(1, epochs + 1)
    for name in KINDS:
        groups = [record.values("accuracy", network=name, epoch=epoch) for epoch in ticks]
        curve(ax, list(ticks), groups, name)
    ax.set(xlabel="epoch", ylabel="test accuracy, %")
    ax.legend()
    last = {name: record.values("accuracy", network=name, epoch=epochs) for name in KINDS}
    record.save(
        picture,
        steps=steps,
        final_accuracy_percent={n: list(interval([100 * a for a in v])) for n, v in last.items()},
        final_minus_dense_points={
            n: list(interval([100 * (a - d) for a, d in zip(v, last["dense"], strict=True)]))
            for n, v in last.items()
        },
    )


if __name__ == "__main__":
    main()
