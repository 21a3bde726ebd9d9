"""Claim: the scatter of a pattern, known before training, predicts how well it trains.

    python studies/scatter_predicts.py [--scale paper]

Morse, [64, 1024, 64], every pattern with the same fans (at the scale "cpu" fan-outs of 128 and 8:
12.5 %). Patterns with all degrees of spread are made by mixing: a share of each junction's
connections is block-diagonal, so that neurons see only one part of the neighbouring layer, and the
rest is structured random. Clash-free patterns of all three types are added. Measured is the rank
correlation (Spearman) of the smallest scatter entry with test accuracy.

Source: "Characterizing Sparse Connectivity Patterns in Neural Networks" (2018), the scatter metric
and the data. That low scatter goes with low accuracy, and that patterns above some level are equal,
is recalled from the paper and unverified. The mixing is ours.

Result at the scale "cpu" (scatter_predicts_cpu.json; 30 patterns, 12,800 frames, 2 epochs, one
thread of an AMD EPYC, 55 seconds, openwork 0.1.0, torch 2.13.0): the claim showed. Rank correlation
0.82 over all patterns, 0.64 over those with a scatter above one half. Mixed patterns rise from 9 %
(block-diagonal, scatter 0.125) to 30 % accuracy, steeply up to about 0.35 and slowly above. There
are exceptions: clash-free patterns without dither have a smallest entry of 0.25, because a neuron
reads only some of the memories, and are still as good as the best, 30 % to 32 %. The other entries
of the vector show this; its minimum does not. Two epochs are far from the end of training.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from _study import Record, accuracy, figure, options

import openwork as ow
from openwork.patterns import Pattern, clash_free, grouped, layer_seed, scatter, structured

SIZES = (64, 1024, 64)
GROUPS = 8
RECIPE = ow.train.Recipe(batch_size=128, optimizer="adam", lr=2e-3, schedule="constant")


def mixed(out: int, inputs: int, share: float, seed: int) -> Pattern:
    """Density 1 / GROUPS: a `share` of the outputs reads its own block, the rest any inputs."""
    local, free = (
        grouped(out, inputs, groups=GROUPS),
        structured(out, inputs, density=1 / GROUPS, seed=seed),
    )
    order = np.random.PCG64(layer_seed(seed, f"mixed {out}")).random_raw(out).argsort()
    taps = free.taps
    rows = order[: round(share * out)]
    taps[rows] = local.taps[rows]
    return Pattern(taps)


def networks(seeds: int) -> Iterator[tuple[str, list[Pattern]]]:
    """(kind, pattern of each junction)."""
    junctions = list(zip(SIZES[1:], SIZES[:-1], strict=True))
    for share in (1.0, 0.95, 0.9, 0.8, 0.6, 0.4, 0.2, 0.0):
        for seed in range(seeds):
            yield f"mixed {share}", [mixed(*j, share, seed) for j in junctions]
    for type_ in (1, 2, 3):
        for dither in (False, True):
            for seed in range(seeds // 2):
                name = f"clash-free {type_}{', dither' * dither}"
                made = [
                    clash_free(*j, density=1 / GROUPS, z=32, type=type_, dither=dither, seed=seed)
                    for j in junctions
                ]
                yield name, made


def ranks(values: list[float]) -> np.ndarray:
    """Ranks from 0; equal values share their mean rank."""
    array = np.array(values)
    below = (array[:, None] > array).sum(1)
    return below + ((array[:, None] == array).sum(1) - 1) / 2


def spearman(one: list[float], two: list[float]) -> float:
    return float(np.corrcoef(ranks(one), ranks(two))[0, 1])


def main() -> None:
    asked = options(__doc__)
    epochs, seeds = (30, 5) if asked.paper else (2, 3)
    data = asked.data("morse", 12_800, 6_400)
    record = Record(__file__, asked, recipe=RECIPE.to_dict(), epochs=epochs, sizes=SIZES)
    for number, (kind, patterns) in enumerate(networks(seeds)):
        torch.manual_seed(number)
        model = ow.models.build("mlp:64-1024-64", num_classes=64, in_channels=1, image_size=8)
        ow.sparsify_(model, ow.Plan(dict(zip(("1", "3"), patterns, strict=True))))
        vector = scatter(patterns)
        recipe = dataclasses.replace(RECIPE, epochs=epochs, seed=number)
        record.add(
            kind=kind,
            scatter=float(vector.minimum),
            density=float(np.mean([p.density for p in patterns])),
            accuracy=accuracy(model, data, recipe),
            vector=[float(v) for v in vector.vector],
        )
    least, accuracies = record.values("scatter"), record.values("accuracy")
    high = [(s, a) for s, a in zip(least, accuracies, strict=True) if s > 0.5]
    picture, (ax,) = figure(1, "Morse [64, 1024, 64] at 12.5 %")
    for family, marker in (("mixed", "o"), ("clash-free", "^")):
        points = [(r["scatter"], 100 * r["accuracy"]) for r in record.rows if family in r["kind"]]
        ax.scatter(*zip(*points, strict=True), marker=marker, alpha=0.7, label=family)
    ax.set(xlabel="smallest scatter entry", ylabel="test accuracy, %")
    ax.legend()
    record.save(
        picture,
        patterns=len(accuracies),
        spearman=spearman(least, accuracies),
        spearman_above_one_half=spearman(*map(list, zip(*high, strict=True))),
    )


if __name__ == "__main__":
    main()
