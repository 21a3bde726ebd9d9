"""Claim: at equal parameters structured sparse convolution (SSC) holds its own against its peers.

    python studies/ssc_vs_others.py [--scale paper] [--data-root FOLDER]

Five ways to have the same number of convolution weights: *ssc* (our reconstruction); *random*
connections, with the weights of ssc in each layer; *groupwise*, groups that rotate from filter to
filter; *depth multiplier*; and *depthwise-separable* convolutions under a depth multiplier. The
first convolution is always an ordinary one. At the scale "paper": ResNet-32 on CIFAR-10 and
CIFAR-100 at 90, 95 and 98 % sparsity. At the scale "cpu": a plain network of six convolutions at
95 %, on 1,500 CIFAR-10 images of 16 x 16.

Source: "Pushing the Efficiency Limit Using Structured Sparse Convolutions" (Verma et al. 2023)
says that SSC generalises depthwise, groupwise and pointwise convolution and is more accurate than
pruning at initialisation. Its definition and figures were not available to us: this study is of our
reconstruction (`patterns.ssc`), and the comparisons are ours.

Result at the scale "cpu" (ssc_vs_others_cpu.json; 4 epochs, 3 seeds, one thread of a busy AMD EPYC,
4 minutes, openwork 0.1.0, torch 2.13.0): undecided. Accuracy with 95 % intervals, and weights:

    ssc                    34.4 +- 3.3   14,176
    random                 34.2 +- 2.7   14,184
    groupwise              36.1 +- 5.7   12,672 (group sizes come in powers of two)
    depth multiplier       33.0 +- 3.1   13,860
    depthwise-separable    32.5 +- 2.6   14,131

All intervals overlap: at this scale ssc is as good as its peers and no better, and nothing more can
be said. ResNet-32 and CIFAR-100 were not run. There, at 98 %, random connections need at least
10,962 weights (one kernel in and out of each channel), where ssc has 9,200.
"""

import dataclasses
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from _study import Options, Record, accuracy, curve, figure, interval, options
from matplotlib.figure import Figure
from torch import nn

import openwork as ow
from openwork.data import DataSet, Split
from openwork.nn import ssc_plan

KINDS = ("ssc", "random", "groupwise", "depth multiplier", "depthwise-separable")
CPU = ow.train.Recipe(batch_size=32, optimizer="adam", lr=2e-3, warmup=0.1, flip=True)
PAPER = ow.train.Recipe(
    lr=0.1, l2=1e-4, schedule="step", flip=True, crop_padding=4, batch_size=128, epochs=160
)


Conv = nn.Conv2d | ow.SparseConv2d


def convolutions(model: nn.Module) -> dict[str, Conv]:
    return {n: m for n, m in model.named_modules() if isinstance(m, Conv)}


def weights(model: nn.Module) -> int:
    """Live weights of all convolutions."""
    return sum(m.weight.numel() for m in convolutions(model).values())


def dense(name: str, data: DataSet, alpha: float = 1.0, separable: bool = False) -> nn.Module:
    model = ow.models.build(
        name,
        num_classes=data.num_classes,
        in_channels=data.channels,
        image_size=data.image_size[0],
        depth_multiplier=alpha,
    )
    if separable:
        for path, conv in list(convolutions(model).items())[1:]:
            model.set_submodule(path, _separated(conv))
    return model


def _separated(conv: Conv) -> nn.Module:
    """A depthwise and a pointwise convolution in place of an ordinary one of 3 x 3 taps."""
    c = conv.in_channels
    parts = [
        nn.Conv2d(c, c, 3, conv.stride[0], padding=1, groups=c, bias=False),
        nn.Conv2d(c, conv.out_channels, 1, bias=False),
    ]
    for part in parts:
        nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
    return nn.Sequential(*parts)


def thinned(make: Callable[[float], nn.Module], target: int) -> nn.Module:
    """The network with the depth multiplier, in steps of 1/128, nearest to `target` weights."""
    with torch.random.fork_rng():
        alphas = [n / 128 for n in range(4, 257)]
        sizes = {alpha: weights(make(alpha)) for alpha in alphas}
    return make(min(alphas, key=lambda alpha: abs(sizes[alpha] - target)))


def groupwise(model: nn.Module, target: int) -> ow.Plan:
    """Groups for all convolutions but the first, with about `target` live weights in total."""
    layers = convolutions(model)
    first, *others = layers
    rest = {name: layers[name].weight.numel() for name in others}
    left = target - layers[first].weight.numel()
    rules: dict[str, object] = {first: "dense"}
    for name in others:
        common = math.gcd(layers[name].in_channels, layers[name].out_channels)
        share = rest[name] * left / sum(rest.values())
        choices = [g for g in range(1, common + 1) if common % g == 0]
        groups = min(choices, key=lambda g: abs(rest[name] / g - share))
        rules[name] = {"pattern": "grouped", "groups": groups, "order": "rotating"}
        left -= rest.pop(name) // groups
    return ow.Plan(rules)


def build(kind: str, name: str, sparsity: float, data: DataSet, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    whole = dense(name, data)
    structured = ssc_plan(whole, sparsity)
    patterns = structured.resolve(whole)
    target = sum(p.live for p in patterns.values())
    if kind == "ssc":
        return ow.sparsify_(whole, structured)
    if kind == "random":
        rules = {
            n: {"pattern": "random", "density": p.density, "fan": "uniform"}
            for n, p in patterns.items()
        }
        return ow.sparsify_(whole, ow.Plan(rules, seed=seed))
    if kind == "groupwise":
        return ow.sparsify_(whole, groupwise(whole, target))
    separable = kind == "depthwise-separable"
    return thinned(lambda alpha: dense(name, data, alpha, separable), target)


def halved(data: DataSet) -> DataSet:
    """Images of half the side, averaged over 2 x 2 pixels."""

    def half(split: Split) -> Split:
        images = F.avg_pool2d(torch.from_numpy(split.images.copy()).float(), 2)
        return Split(images.round().to(torch.uint8).numpy(), split.labels)

    return dataclasses.replace(data, train=half(data.train), test=half(data.test))


def cells(asked: Options) -> list[tuple[str, DataSet, float]]:
    if asked.paper:
        sets = [asked.data(name) for name in ("cifar10", "cifar100")]
        return [("resnet32", data, sparsity) for data in sets for sparsity in (0.9, 0.95, 0.98)]
    return [("vgg-small", halved(asked.data("cifar10", 1500, 1500)), 0.95)]


def draw(record: Record) -> tuple[Figure, dict[str, list[float]]]:
    """The picture, and the mean and interval of each data set, sparsity and kind."""
    sets = list(dict.fromkeys(row["data"] for row in record.rows))
    picture, axes = figure(len(sets), "Five ways with equal convolution weights")
    summary: dict[str, list[float]] = {}
    for ax, data in zip(axes, sets, strict=True):
        levels = list(dict.fromkeys(r["sparsity"] for r in record.rows if r["data"] == data))
        for index, kind in enumerate(KINDS):
            groups = [record.values("accuracy", data=data, kind=kind, sparsity=s) for s in levels]
            # Side by side, so that equal accuracies do not hide each other.
            curve(ax, [100 * s + 0.1 * (index - 2) for s in levels], groups, kind)
            for level, group in zip(levels, groups, strict=True):
                summary[f"{data} {level} {kind}"] = list(interval([100 * a for a in group]))
        ax.set_xticks([100 * s for s in levels])
        ax.set(xlabel="sparsity of the convolutions, %", ylabel="test accuracy, %", title=data)
        ax.legend()
    return picture, summary


def main() -> None:
    asked = options(__doc__)
    base, seeds = (PAPER, 3) if asked.paper else (dataclasses.replace(CPU, epochs=4), 3)
    record = Record(__file__, asked, recipe=base.to_dict(), seeds=seeds)
    for name, data, sparsity in cells(asked):
        for kind in KINDS:
            for seed in range(seeds):
                model = build(kind, name, sparsity, data, seed)
                recipe = dataclasses.replace(base, seed=seed)
                record.add(
                    data=data.name,
                    network=name,
                    sparsity=sparsity,
                    kind=kind,
                    weights=weights(model),
                    seed=seed,
                    accuracy=accuracy(model, data, recipe),
                )
    picture, summary = draw(record)
    record.save(picture, accuracy_percent=summary)


if __name__ == "__main__":
    main()
