"""Claim: the run time of a sparse network follows its density.

    python -m studies run_time [--scale cpu]

CNN_small on 32x32 pixels, random connections. All densities are measured in turns within one cell;
a cell is repeated as a seed is. The ideal is a time that falls in proportion to the density; the
share of it that is reached is the speed-up divided by 1 / density.

Source: "The Power of Sparsity in Convolutional Neural Networks" (2017), which argues that the time
follows the density and measures none.
"""

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from _claims import Claim, at_least
from _grid import Desk, Row, Settings, Study
from torch import nn

import openwork as ow

# Scale -> repetitions, rounds of each, width, images per training step.
SIZES = {"smoke": (1, 1, 0.125, 4), "cpu": (3, 8, 0.5, 32), "paper": (5, 20, 1.0, 128)}
DENSITIES = (1.0, 0.5, 0.2, 0.1, 0.05)


def cells(scale: str) -> list[Settings]:
    seeds, rounds, width, batch = SIZES[scale]
    return [
        {
            "what": what,
            "rounds": rounds,
            "width": width,
            "batch": batch,
            "kernels": "native" if scale == "smoke" else "measured",
            "seed": seed,
        }
        for seed in range(seeds)
        for what in ("inference", "training step")
    ]


def run(settings: Settings, desk: Desk) -> dict[str, Any]:
    os.environ["OPENWORK_TRAIN_KERNELS"] = settings["kernels"]
    prepare = _inference if settings["what"] == "inference" else _step
    calls = [prepare(_network(density, settings), settings) for density in DENSITIES]
    for call in calls:
        call()
        call()
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(settings["rounds"]):
        for call, mine in zip(calls, times, strict=True):
            began = time.perf_counter()
            call()
            mine.append(time.perf_counter() - began)
    return {
        "densities": list(DENSITIES),
        "milliseconds": [round(1e3 * statistics.median(mine), 4) for mine in times],
    }


def _network(density: float, settings: Settings) -> nn.Module:
    torch.manual_seed(settings["seed"])
    model = ow.models.build("cnn_small", depth_multiplier=settings["width"])
    if density < 1:
        rule = {"pattern": "random", "density": density}
        ow.sparsify_(model, ow.Plan({"conv:*": rule, "features.0": "dense"}, seed=0))
    return model


def _inference(model: nn.Module, settings: Settings) -> Callable[[], object]:
    example = torch.randn(1, 3, 32, 32)
    fast = ow.compile(model.eval(), example)
    return lambda: fast(example)


def _step(model: nn.Module, settings: Settings) -> Callable[[], object]:
    images = torch.randn(settings["batch"], 3, 32, 32)
    labels = torch.arange(settings["batch"]) % 10
    ow.nn.fuse_norms_(model, images)
    optimizer = torch.optim.SGD(model.train().parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step


def shares(rows: list[Row], what: str, density: float) -> list[float]:
    """Per cent of the ideal speed-up over density 1 that each repetition reached."""
    found = []
    for row in rows:
        if row["settings"]["what"] == what:
            times = dict(
                zip(row["result"]["densities"], row["result"]["milliseconds"], strict=True)
            )
            found.append(100 * times[1.0] / times[density] * density)
    return found


def claims(rows: list[Row]) -> list[Claim]:
    return [
        Claim(
            "Run time follows density (argued in the paper, not measured there)",
            f"{what} of CNN_small at {density:.0%}: share of the ideal speed-up; half of it counts "
            "as following",
            at_least(shares(rows, what, density), 50.0),
            "%",
        )
        for what in ("inference", "training step")
        for density in (0.2, 0.1, 0.05)
    ]


def points(rows: list[Row]) -> tuple[str, str, dict[str, list[tuple[float, list[float]]]]]:
    """What the picture shows: axis labels, and (density, shares of the ideal) per kind."""
    curves = {
        what: [(100 * density, shares(rows, what, density)) for density in sorted(DENSITIES)]
        for what in ("inference", "training step")
        if shares(rows, what, 1.0)
    }
    return "density, %", "share of the ideal speed-up, %", curves


STUDY = Study(
    "run_time",
    threads=2,
    cells=cells,
    run=run,
    cut={
        "smoke": "everything",
        "cpu": "half width, steps of 32 images; repetitions on one machine",
        "paper": "repetitions on one machine",
    },
    timed=True,
)
