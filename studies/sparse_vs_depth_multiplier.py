"""Claim: below 10 % density a sparse network beats a narrower one; above, the two are equal.

    python studies/sparse_vs_depth_multiplier.py [--scale paper] [--data-root FOLDER]

A network of three convolutions, on MNIST and on CIFAR-10. *Sparse*: each convolution but the first
keeps a random share alpha of its connections. *Depth multiplier*: each width is multiplied by
sqrt(alpha), so that both have about alpha times the connections of the dense network. Same recipe,
same seeds. Parameters are counted without the softmax layer, as in the paper's table; MACs with it.

Source: "The Power of Sparsity in Convolutional Neural Networks" (2017): equal once the density is
above 0.1, sparse clearly better below; on MNIST sparse wins by parameters and loses by MACs,
because the first layer dominates the cost. The network's widths are our reading.

Result at the scale "cpu" (sparse_vs_depth_multiplier_cpu.json; 5,000 images, 5 epochs, 3 seeds, one
thread of a busy AMD EPYC, 18 minutes, openwork 0.1.0, torch 2.13.0): the claim showed. Sparse minus
depth multiplier in points of accuracy, with 95 % intervals:

    alpha       0.01          0.03          0.1          0.3
    MNIST        8.7 +- 3.6    5.3 +- 2.5    1.2 +- 2.2   -0.1 +- 1.3
    CIFAR-10    20.3 +- 11.5  14.1 +- 5.5    5.9 +- 9.1    2.0 +- 5.5

Below 0.1 sparse is clearly better; from 0.1 the two cannot be told apart. Note that at 0.01 the
sparse network has twice the parameters of the narrow one, because every filter must read something
and the first layer is dense, and that its softmax layer, which is not counted, is as wide as the
dense network's. Unlike in the paper, sparse also wins by MACs on MNIST. With so few epochs no
network is trained to convergence.
"""

import dataclasses
from typing import Any

import torch
from _study import (
    Options,
    Record,
    accuracy,
    curve,
    figure,
    interval,
    options,
    parameters_without_softmax,
)
from torch import nn

import openwork as ow
from openwork.data import DataSet
from openwork.nn import count_macs

ALPHAS = (0.01, 0.03, 0.1, 0.3)
KINDS = ("sparse", "depth multiplier")
RECIPE = ow.train.Recipe(batch_size=64, optimizer="adam", lr=2e-3, warmup=0.1)


def build(kind: str, alpha: float, seed: int, data: DataSet) -> nn.Module:
    torch.manual_seed(seed)
    thinner = alpha**0.5 if kind == "depth multiplier" else 1.0
    model = ow.models.build(
        "mnist_3conv",
        in_channels=data.channels,
        image_size=data.image_size[0],
        depth_multiplier=thinner,
    )
    if kind == "sparse" and alpha < 1:
        random = {"pattern": "random", "density": alpha}
        ow.sparsify_(model, ow.Plan({"conv:*": random, "features.0": "dense"}, seed=seed))
    return model


def datasets(asked: Options) -> tuple[DataSet, DataSet]:
    if asked.paper:
        return asked.data("mnist"), asked.data("cifar10")
    return asked.data("mnist-subset", 5000), asked.data("cifar10", 5000, 2000)


def gap(record: Record, name: str, alpha: float) -> list[float]:
    """Sparse minus depth multiplier, in points of accuracy: mean and half of its 95 % interval."""
    sparse, thin = (record.values("accuracy", data=name, kind=kind, alpha=alpha) for kind in KINDS)
    return list(interval([100 * (s - t) for s, t in zip(sparse, thin, strict=True)]))


def draw(record: Record, name: str, axes: Any) -> None:
    for ax, key in zip(axes, ("parameters", "macs"), strict=True):
        for kind in KINDS:
            groups = [
                record.values("accuracy", data=name, kind=kind, alpha=alpha)
                for alpha in (*ALPHAS, 1.0)
            ]
            x = [record.values(key, data=name, kind=kind, alpha=a)[0] for a in (*ALPHAS, 1.0)]
            curve(ax, x, groups, kind)
        ax.set(xscale="log", xlabel=key, ylabel="test accuracy, %", title=name)
        ax.legend()


def main() -> None:
    asked = options(__doc__)
    seeds, epochs = (5, 20) if asked.paper else (3, 5)
    record = Record(__file__, asked, recipe=RECIPE.to_dict(), epochs=epochs, seeds=seeds)
    sets = datasets(asked)
    for data in sets:
        cells = [("sparse", 1.0), *((kind, alpha) for alpha in ALPHAS for kind in KINDS)]
        for kind, alpha in cells:
            for seed in range(seeds):
                model = build(kind, alpha, seed, data)
                row = {
                    "data": data.name,
                    "alpha": alpha,
                    "parameters": parameters_without_softmax(model),
                    "macs": sum(
                        count_macs(model, torch.zeros(1, *data.train.images.shape[1:])).values()
                    ),
                }
                recipe = dataclasses.replace(RECIPE, epochs=epochs, seed=seed)
                row["accuracy"] = accuracy(model, data, recipe)
                # At alpha = 1 both are the dense network.
                for name in KINDS if alpha == 1 else (kind,):
                    record.add(kind=name, seed=seed, **row)
    picture, axes = figure(2 * len(sets), "Sparse against the depth multiplier")
    for index, data in enumerate(sets):
        draw(record, data.name, axes[2 * index : 2 * index + 2])
    summary = {d.name: {str(a): gap(record, d.name, a) for a in ALPHAS} for d in sets}
    record.save(picture, sparse_minus_depth_multiplier_points=summary)


if __name__ == "__main__":
    main()
