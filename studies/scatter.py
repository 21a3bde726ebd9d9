"""Claim: the scatter of a pattern, known before training, predicts how well it trains.

    python -m studies scatter [--scale cpu]

Morse, [64, 1024, 64], every pattern with fan-outs of 128 and 8 (12.5 %). Patterns with all degrees
of spread are mixed: a share of each junction's connections is block-diagonal, the rest structured
random. Clash-free patterns are added. Measured is the rank correlation (Spearman) of the smallest
scatter entry with test accuracy.

Source: "Characterizing Sparse Connectivity Patterns in Neural Networks" (2018), the scatter metric
and the data. That low scatter goes with low accuracy, and that patterns above some level are equal,
is recalled from the paper and unverified. The mixing is ours.
"""

import math
from typing import Any

import numpy as np
import torch
from _claims import Claim, rank_correlation
from _grid import Desk, Row, Settings, Study
from _study import first_samples, loaded

import openwork as ow
from openwork.patterns import Pattern, clash_free, grouped, layer_seed, structured
from openwork.patterns import scatter as scatter_of

SIZES = (64, 1024, 64)
GROUPS = 8
SHARES = (1.0, 0.9, 0.8, 0.6, 0.4, 0.2, 0.0)
# Scale -> patterns of each kind, epochs, learning rate, frames.
SCALES: dict[str, tuple[int, int, float, int | None]] = {
    "smoke": (1, 1, 1e-3, 512),
    "cpu": (2, 1, 4e-3, 128_000),
    "paper": (5, 30, 1e-3, None),
}


def cells(scale: str) -> list[Settings]:
    seeds, epochs, lr, frames = SCALES[scale]
    kinds = [{"family": "mixed", "share": share} for share in SHARES]
    kinds += [{"family": "clash-free", "type": t, "dither": d} for t in (1, 3) for d in (0, 1)]
    return [
        {**kind, "epochs": epochs, "lr": lr, "frames": frames, "seed": seed}
        for seed in range(seeds)
        for kind in kinds
    ]


def run(settings: Settings, desk: Desk) -> dict[str, Any]:
    data = first_samples(loaded("morse"), settings["frames"], settings["frames"] and 20_000)
    patterns = _patterns(settings)
    torch.manual_seed(settings["seed"])
    model = ow.models.build("mlp:64-1024-64", num_classes=64, in_channels=1, image_size=8)
    ow.sparsify_(model, ow.Plan(dict(zip(("1", "3"), patterns, strict=True))))
    recipe = ow.train.Recipe(
        epochs=settings["epochs"],
        optimizer="adam",
        batch_size=256,
        lr=settings["lr"],
        seed=settings["seed"],
    )
    vector = scatter_of(patterns)
    return {
        "scatter": float(vector.minimum),
        "vector": [round(float(value), 4) for value in vector.vector],
        **desk.fit(model, data, recipe),
    }


def _mixed(out: int, inputs: int, share: float, seed: int) -> Pattern:
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


def _patterns(settings: Settings) -> list[Pattern]:
    junctions = list(zip(SIZES[1:], SIZES[:-1], strict=True))
    seed = settings["seed"]
    if settings["family"] == "mixed":
        return [_mixed(*junction, settings["share"], seed) for junction in junctions]
    dither = bool(settings["dither"])
    return [
        clash_free(
            *junction, density=1 / GROUPS, z=32, type=settings["type"], dither=dither, seed=seed
        )
        for junction in junctions
    ]


def ranks(values: list[float]) -> np.ndarray:
    """Ranks from 0; equal values share their mean rank."""
    array = np.array(values)
    below = (array[:, None] > array).sum(1)
    return below + ((array[:, None] == array).sum(1) - 1) / 2


def spearman(one: list[float], two: list[float]) -> float:
    return float(np.corrcoef(ranks(one), ranks(two))[0, 1])


def claims(rows: list[Row]) -> list[Claim]:
    pairs = [(r["result"]["scatter"], r["result"]["accuracy"]) for r in rows]
    high = [pair for pair in pairs if pair[0] > 0.5]
    owner = "(recalled, not verified)"
    return [
        Claim(
            f"{text} {owner}",
            measure,
            rank_correlation(spearman(*_columns(some)) if len(some) > 4 else math.nan, len(some)),
            "",
        )
        for text, measure, some in (
            (
                "Scatter predicts accuracy",
                "rank correlation of the smallest scatter entry with accuracy, all patterns",
                pairs,
            ),
            (
                "Scatter still predicts accuracy above one half; the paper's patterns are equal "
                "above some level",
                "the same over patterns with a smallest entry above one half",
                high,
            ),
        )
    ]


def points(rows: list[Row]) -> tuple[str, str, dict[str, list[tuple[float, list[float]]]]]:
    """What the picture shows: axis labels, and (scatter, accuracy in per cent) per family."""
    curves: dict[str, list[tuple[float, list[float]]]] = {}
    for row in rows:
        point = (row["result"]["scatter"], [100 * row["result"]["accuracy"]])
        curves.setdefault(row["settings"]["family"], []).append(point)
    return "smallest scatter entry", "test accuracy, %", {k: sorted(v) for k, v in curves.items()}


def _columns(pairs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


STUDY = Study(
    "scatter",
    threads=1,
    cells=cells,
    run=run,
    cut={
        "smoke": "everything",
        "cpu": "1 epoch (the authors' code: 30), 128,000 of 320,000 frames, a rate of 4e-3",
        "paper": "",
    },
)
