"""Claim: at equal parameters structured sparse convolution (SSC) holds its own against its peers.

    python -m studies ssc_vs_others [--scale paper]

Seven ways to have the same number of convolution weights: *ssc* (our reconstruction); *random*
connections, with the weights of ssc in each layer; *groupwise*, groups that rotate from filter to
filter; *depth multiplier*; *depthwise-separable* convolutions under a depth multiplier; and the
kernels that SNIP and GraSP keep before training. The first convolution is always an ordinary one.
At the scale "paper": ResNet-32 on all of CIFAR-10 at 95, 90 and 98 % sparsity, three epochs of a
cycle that rises and falls: 160, and CIFAR-100, would take two cores weeks. At the scale "cpu": a
plain network of six convolutions at 95 %, on 1,500 CIFAR-10 images of 16 x 16.

Source: "Pushing the Efficiency Limit Using Structured Sparse Convolutions" (Verma et al. 2023)
says that SSC generalises depthwise, groupwise and pointwise convolution and is more accurate than
pruning at initialisation. Its definition and figures were not available to us: this study is of our
reconstruction (`patterns.ssc`), and the comparisons are ours.

At 98 % on ResNet-32 random connections need at least 10,962 weights (one kernel in and out of each
channel), where ssc has 9,200.
"""

import bisect
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from _claims import Claim, at_least
from _grid import Desk, Row, Settings, Study, gaps, values
from _study import first_samples, loaded
from torch import nn

import openwork as ow
from openwork.data import Batches, DataSet, Split
from openwork.nn import ssc_plan

# Pruning at initialisation: the paper's own rivals, here of whole kernels.
AT_INIT = ("snip", "grasp")
KINDS = ("ssc", "random", "groupwise", "depth multiplier", "depthwise-separable", *AT_INIT)
SHORT = ow.train.Recipe(batch_size=32, optimizer="adam", lr=2e-3, warmup=0.1, flip=True)
LONG = ow.train.Recipe(
    lr=0.1,
    l2=1e-4,
    schedule="cosine",
    warmup=0.25,
    flip=True,
    crop_padding=4,
    batch_size=128,
)
# Scale -> seeds, epochs, images for training and as many to test on, sparsities.
SIZES: dict[str, tuple[int, int, int | None, tuple[float, ...]]] = {
    "smoke": (1, 1, 160, (0.95,)),
    "cpu": (3, 4, 1500, (0.95,)),
    "paper": (3, 3, None, (0.95, 0.9, 0.98)),
}


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
    alphas = [n / 128 for n in range(4, 257)]
    with torch.random.fork_rng():
        above = bisect.bisect_left(alphas, target, key=lambda alpha: weights(make(alpha)))
        near = {abs(weights(make(a)) - target): a for a in alphas[max(above - 1, 0) : above + 1]}
    return make(near[min(near)])


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


def at_init(model: nn.Module, criterion: str, target: int, data: DataSet) -> ow.Plan:
    """The kernels that a criterion keeps before training, about `target` live weights in total.

    The first convolution stays dense; the criterion sees ten batches of the first images.
    """
    first, *others = (layer.weight.numel() for layer in convolutions(model).values())
    part = first_samples(data, 10 * data.num_classes)
    batches = Batches.in_order(part.train, data.mean, data.std, batch_size=data.num_classes)
    return ow.prune.at_init(
        model,
        [(images, labels) for images, labels, _ in batches.epoch(0)],
        criterion,
        density=(target - first) / sum(others),
        progress=False,
    )


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
    if kind in AT_INIT:
        return ow.sparsify_(whole, at_init(whole, kind, target, data), init="keep")
    separable = kind == "depthwise-separable"
    return thinned(lambda alpha: dense(name, data, alpha, separable), target)


def halved(data: DataSet) -> DataSet:
    """Images of half the side, averaged over 2 x 2 pixels."""

    def half(split: Split) -> Split:
        images = F.avg_pool2d(torch.from_numpy(split.images.copy()).float(), 2)
        return Split(images.round().to(torch.uint8).numpy(), split.labels)

    return dataclasses.replace(data, train=half(data.train), test=half(data.test))


def cells(scale: str) -> list[Settings]:
    seeds, epochs, images, sparsities = SIZES[scale]
    whole = scale == "paper"
    return [
        {
            "data": "cifar10",
            "images": images,
            # Half of the side of each.
            "halved": not whole,
            "network": "resnet32" if whole else "vgg-small",
            "sparsity": sparsity,
            "kind": kind,
            "epochs": epochs,
            "seed": seed,
        }
        for sparsity in sparsities
        for seed in range(seeds)
        for kind in KINDS
    ]


def run(settings: Settings, desk: Desk) -> dict[str, Any]:
    data = first_samples(loaded(settings["data"]), settings["images"], settings["images"])
    data = halved(data) if settings["halved"] else data
    seed = settings["seed"]
    model = build(settings["kind"], settings["network"], settings["sparsity"], data, seed)
    base = SHORT if settings["halved"] else LONG
    recipe = dataclasses.replace(base, epochs=settings["epochs"], seed=seed)
    return {"weights": weights(model), **desk.fit(model, data, recipe)}


def claims(rows: list[Row]) -> list[Claim]:
    text = "SSC is more accurate than others with as many weights (comparisons are ours)"
    rivals = "SSC is more accurate than pruning at initialisation (of kernels)"
    levels = dict.fromkeys((r["settings"]["data"], r["settings"]["sparsity"]) for r in rows)
    made = []
    for data, sparsity in levels:
        where = {"data": data, "sparsity": sparsity}
        made += [
            Claim(
                rivals if kind in AT_INIT else text,
                f"accuracy of ssc minus {kind} at {sparsity:.0%} sparsity, {data}",
                at_least(gaps(rows, {**where, "kind": "ssc"}, {**where, "kind": kind}), 0.0),
                "points",
            )
            for kind in KINDS[1:]
        ]
    return made


def points(rows: list[Row]) -> tuple[str, str, dict[str, list[tuple[float, list[float]]]]]:
    """What the picture shows: axis labels, and (weights, accuracies in per cent) by kind."""
    curves: dict[str, list[tuple[float, list[float]]]] = {}
    keys = ("data", "sparsity", "kind")
    for chosen in dict.fromkeys(tuple(r["settings"][key] for key in keys) for r in rows):
        where = dict(zip(keys, chosen, strict=True))
        found = [100 * value for value in values(rows, "accuracy", **where)]
        point = (values(rows, "weights", **where)[0] / 1000, found)
        curves.setdefault(f"{where['data']}, {where['kind']}", []).append(point)
    return "thousand convolution weights", "test accuracy, %", curves


STUDY = Study(
    "ssc_vs_others",
    threads=1,
    cells=cells,
    run=run,
    cut={
        "smoke": "everything",
        "cpu": "a plain network of six convolutions, 1,500 images of 16x16, 4 epochs, 3 seeds",
        "paper": "3 epochs instead of 160, CIFAR-10 alone",
    },
)
