"""Claim: fully connected layers train as well with few connections, if later ones keep more.

    python studies/predefined_fc.py [--scale paper] [--data-root FOLDER]

Three parts. (1) MNIST [800, 100, 10] and [1024, 64, 16], inputs and outputs padded, and Morse
[64, 1024, 64]: accuracy against the densities of the two junctions, structured patterns (equal
fans), five seeds. (2) The same number of connections, with the later or the earlier junction
denser. (3) A convolutional network on CIFAR-10 whose fully connected layers are dense or have the
fewest possible connections, below 0.5 %.

Source: "Characterizing Sparse Connectivity Patterns in Neural Networks" (2018): no loss of accuracy
at less than 0.5 % of the classification layers' connections; 3 % on MNIST gives more than 95 %.
That later junctions should be denser, and that data with little redundancy such as Morse partly
reverse this, is recalled and unverified. Training recipe: the authors' code, without its L2.

Result at the scale "cpu" (predefined_fc_cpu.json; 5,000 to 6,400 samples, 1,500 of CIFAR-10, 6
epochs, 5 seeds and 3 for CIFAR-10, one thread of a busy AMD EPYC, 7 minutes, openwork 0.1.0, torch
2.13.0); accuracy in per cent with 95 % intervals.

(1) On MNIST half of the connections lose little accuracy and few connections lose some; Morse, with
little redundancy, loses from the start. No network is trained to convergence, and sparse ones learn
more slowly.

    density of junction 1      1            about 1/2    about 1/5    about 1/20   fewest
    MNIST [800, 100, 10]       92.4 +- 0.7  92.1 +- 0.4  90.5 +- 0.9  88.0 +- 0.7  85.6 +- 1.0
    MNIST [1024, 64, 16]       91.8 +- 0.6  90.7 +- 1.0  89.4 +- 0.8  87.6 +- 1.1  83.1 +- 1.2
    density of both            1            1/4          1/8          1/16
    Morse [64, 1024, 64]       55.8 +- 0.8  43.8 +- 0.3  38.1 +- 0.5  29.4 +- 0.7

(2) A denser later junction is better by 5.7 +- 1.8 points on MNIST [1024, 64, 16], where the claim
showed, and by 0.8 +- 1.0 on [800, 100, 10] and 1.1 +- 1.2 on Morse, where it did not; on Morse
equal densities beat both. (3) At 0.30 % of the classification layers' connections the loss is 0.2
points, but +- 5.0 (one dense run did badly): no loss was seen, and a loss of a few points cannot be
excluded.
"""

import dataclasses

import torch
from _study import Record, accuracy, curve, figure, interval, options
from torch import nn

import openwork as ow
from openwork.data import DataSet
from openwork.nn import SparseLayer

RECIPE = ow.train.Recipe(batch_size=256, optimizer="adam", lr=1e-3, schedule="constant")
# Densities of the two junctions: the sweep, and two ways to spend about the same connections.
MLPS = {
    "mnist 800-100-10": (
        (800, 100, 10),
        [(1.0, 1.0), (0.5, 1.0), (0.2, 1.0), (0.05, 1.0), (0.01, 1.0)],
        {"late": (0.05, 1.0), "early": (0.06, 0.2)},
    ),
    "mnist 1024-64-16": (
        (1024, 64, 16),
        [(1.0, 1.0), (32 / 64, 1.0), (12 / 64, 1.0), (4 / 64, 1.0), (1 / 64, 1.0)],
        {"late": (2 / 64, 1.0), "early": (3 / 64, 1 / 16)},
    ),
    "morse 64-1024-64": (
        (64, 1024, 64),
        [(1.0, 1.0), (1 / 4, 1 / 4), (1 / 8, 1 / 8), (1 / 16, 1 / 16)],
        {"late": (1 / 16, 3 / 16), "early": (3 / 16, 1 / 16)},
    ),
}


def mlp(
    widths: tuple[int, ...], densities: tuple[float, ...], data: DataSet, seed: int
) -> nn.Module:
    torch.manual_seed(seed)
    inputs, hidden, outputs = widths
    padding = inputs - data.channels * data.image_size[0] ** 2
    layers = {
        "flatten": nn.Flatten(),
        "pad": nn.ConstantPad1d((0, padding), 0.0),
        "junction 1": nn.Linear(inputs, hidden),
        "relu": nn.ReLU(),
        "junction 2": nn.Linear(hidden, outputs),
    }
    model = nn.Sequential()
    for name, layer in layers.items():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.constant_(layer.bias, 0.1)
        model.add_module(name, layer)
    rules = {
        f"junction {number}": {"pattern": "structured", "density": density}
        for number, density in enumerate(densities, start=1)
    }
    return ow.sparsify_(model, ow.Plan(rules, seed=seed))


def conv_net(sparse: bool, deep: bool, seed: int) -> nn.Module:
    """The authors' deep network, and their shallow one with 60 filters; 32 x 32 images."""
    torch.manual_seed(seed)
    blocks = ((60, 60), (125, 125), (250, 250)) if deep else ((60,),)
    size, pool = (3, 2) if deep else (5, 8)
    layers: list[nn.Module] = []
    channels, side = 3, 32
    for widths in blocks:
        for width in widths:
            layers.append(nn.Conv2d(channels, width, size, padding=size // 2, bias=False))
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers += [nn.MaxPool2d(pool), nn.Dropout(0.5 if deep else 0.25)]
        side //= pool
    layers += [nn.Flatten(), nn.Linear(channels * side**2, 500), nn.ReLU(), nn.Linear(500, 10)]
    model = nn.Sequential(*layers)
    if sparse:
        # The lowest density that leaves no neuron unconnected.
        fewest = {"pattern": "random", "density": 1e-6, "fan": "uniform"}
        ow.sparsify_(model, ow.Plan({"linear:*": fewest}, seed=seed))
    return model


def classifier_density(model: nn.Module) -> float:
    linear = [m for m in model.modules() if isinstance(m, nn.Linear | ow.SparseLinear)]
    live = sum(m.weight.numel() for m in linear)
    return live / sum(m.in_features * m.out_features for m in linear)


def main() -> None:
    asked = options(__doc__)
    seeds, epochs, conv_epochs = (5, 50, 100) if asked.paper else (5, 6, 6)
    # The authors' recipe; with few samples, smaller batches, or there would be too few steps.
    base = RECIPE if asked.paper else dataclasses.replace(RECIPE, batch_size=64, lr=3e-3)
    record = Record(__file__, asked, recipe=base.to_dict(), epochs=epochs, seeds=seeds)
    sets = {
        "mnist": asked.data("mnist") if asked.paper else asked.data("mnist-subset", 5000),
        "morse": asked.data("morse", 6400, 6400),
        "cifar10": asked.data("cifar10", 1500, 1500),
    }
    for name, (widths, sweep, spent) in MLPS.items():
        data = sets[name.split()[0]]
        cells = [("sweep", densities) for densities in sweep] + list(spent.items())
        for kind, densities in cells:
            for seed in range(seeds):
                model = mlp(widths, densities, data, seed)
                recipe = dataclasses.replace(base, epochs=epochs, seed=seed)
                record.add(
                    network=name,
                    kind=kind,
                    densities=list(densities),
                    density=classifier_density(model),
                    seed=seed,
                    accuracy=accuracy(model, data, recipe),
                )
    for kind in ("dense", "fewest"):
        for seed in range(seeds if asked.paper else 3):
            model = conv_net(kind == "fewest", asked.paper, seed)
            recipe = dataclasses.replace(base, epochs=conv_epochs, seed=seed)
            record.add(
                network="cifar10 conv",
                kind=kind,
                density=classifier_density(model),
                sparse_layers=sum(isinstance(m, SparseLayer) for m in model.modules()),
                seed=seed,
                accuracy=accuracy(model, sets["cifar10"], recipe),
            )
    picture, axes = figure(4, "Pre-defined sparsity of fully connected layers")
    for ax, (name, (_, sweep, spent)) in zip(axes, MLPS.items(), strict=False):
        for kind, cells in {"sweep": sweep, **{k: [v] for k, v in spent.items()}}.items():
            where = [{"network": name, "kind": kind, "densities": list(c)} for c in cells]
            x = [record.values("density", **w)[0] for w in where]
            curve(ax, x, [record.values("accuracy", **w) for w in where], kind)
        ax.set(
            xscale="log", xlabel="density of both junctions", ylabel="test accuracy, %", title=name
        )
        ax.legend()
    conv = {
        k: record.values("accuracy", network="cifar10 conv", kind=k) for k in ("dense", "fewest")
    }
    shares = [record.values("density", network="cifar10 conv", kind=k)[0] for k in conv]
    curve(axes[3], shares, list(conv.values()), "classification layers")
    axes[3].set(xscale="log", xlabel="density of the classification layers", title="CIFAR-10")
    late = {
        name: list(interval([100 * (a - b) for a, b in zip(*pairs, strict=True)]))
        for name in MLPS
        if (pairs := [record.values("accuracy", network=name, kind=k) for k in ("late", "early")])
    }
    record.save(
        picture,
        late_minus_early_points=late,
        conv_density=shares[1],
        conv_fewest_minus_dense_points=list(
            interval([100 * (s - d) for s, d in zip(conv["fewest"], conv["dense"], strict=True)])
        ),
        sweep_percent={
            name: {
                str(c): list(
                    interval(
                        [
                            100 * a
                            for a in record.values(
                                "accuracy", network=name, kind="sweep", densities=list(c)
                            )
                        ]
                    )
                )
                for c in sweep
            }
            for name, (_, sweep, _) in MLPS.items()
        },
    )


if __name__ == "__main__":
    main()
