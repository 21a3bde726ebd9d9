"""The break-even atlas: for each layer shape and density, sparse against torch's dense convolution.

    python benchmarks/atlas.py [--threads 1] [--batch 1] [--layers 19] [--out benchmarks]

Random channel-wise patterns, float32. Also shows where sparse is slower (below 1). Writes
atlas-<threads>t-b<batch>.json and .png.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from record import machine

import openwork as ow
from openwork._files import atomic_path
from openwork._machine import processor_name
from openwork.engine.tune.tuner import torch_call
from openwork.kernels.dispatch import candidates_by_family
from openwork.kernels.native import extension
from openwork.nn import Table
from openwork.runtime.layers import TORCH
from openwork.runtime.nodes import Conv
from openwork.runtime.tournament import Tournament
from openwork.runtime.values import Value

DENSITIES = (1.0, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05)
# (kernel, stride, inputs, outputs, side)
SHAPES = (
    *((3, 1, c, c, side) for c, side in ((16, 32), (64, 224), (64, 56), (128, 28), (256, 14))),
    *((3, 1, c, c, side) for c, side in ((256, 56), (512, 28), (512, 14), (512, 7))),
    *((3, 2, c, c, side) for c, side in ((128, 56), (256, 28), (512, 14))),
    *((1, 1, a, b, side) for a, b, side in ((64, 64, 56), (256, 64, 56), (64, 256, 56))),
    *((1, 1, a, b, side) for a, b, side in ((512, 128, 28), (1024, 256, 14), (2048, 512, 7))),
    (5, 1, 48, 64, 35),
    (1, 1, 2048, 1000, 1),
)


def layer(shape: tuple[int, int, int, int, int], density: float) -> Conv:
    kernel, stride, inputs, outputs, side = shape
    padding = kernel // 2
    pattern = ow.patterns.random(outputs, inputs, kernel, density)
    weight = np.random.default_rng(0).standard_normal(pattern.live).astype(np.float32)
    out = (side + 2 * padding - kernel) // stride + 1
    return Conv(
        [Value((inputs, side, side), "x")],
        Value((outputs, out, out), "y"),
        "layer",
        (side, side),
        (outputs, inputs, kernel, kernel),
        (stride, stride),
        (padding, padding),
        (1, 1),
        1,
        pattern.positions,
        weight,
        None,
    )


def name(shape: tuple[int, int, int, int, int]) -> str:
    kernel, stride, inputs, outputs, side = shape
    return f"{kernel}x{kernel}{f' /{stride}' if stride > 1 else ''} {inputs}->{outputs} @{side}"


def measure(
    shape: tuple[int, int, int, int, int], density: float, options: argparse.Namespace, isa: str
) -> dict[str, Any]:
    """The best sparse kernel for one cell, and torch's time for the dense layer."""
    conv = layer(shape, density)
    problem = conv.problem()
    tournament = Tournament(problem, False, options.batch, options.threads)
    tournament.add(TORCH, torch_call(conv, tournament))
    tournament.add_families(candidates_by_family(problem, isa, options.batch).values())
    times = tournament.finish(always=(TORCH,))
    torch_seconds = times.pop(TORCH)
    best = min(times, key=lambda kernel: times[kernel])
    return {
        "layer": name(shape),
        "density": density,
        "kernel": best,
        "seconds": times[best],
        "torch_seconds": torch_seconds,
    }


def draw(path: Path, shapes: Sequence[Any], ratios: np.ndarray, title: str, note: str) -> None:
    """Draw speed-ups as a table: red where sparse is slower, blue where faster, on a log scale."""
    figure = Figure(figsize=(8.5, 2.2 + 0.34 * len(shapes)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(np.log2(ratios), cmap="RdBu", vmin=-4, vmax=4, aspect="auto")
    axes.set_xticks(range(len(DENSITIES)), [f"{density:.0%}" for density in DENSITIES])
    axes.set_yticks(range(len(shapes)), [name(shape) for shape in shapes], family="monospace")
    axes.set_xlabel("live kernels")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    # White lines between the cells.
    axes.set_xticks(np.arange(len(DENSITIES) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(shapes) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    for y, row in enumerate(ratios):
        for x, ratio in enumerate(row):
            dark = abs(np.log2(ratio)) > 2.3
            weight = "bold" if ratio < 1 else "normal"
            text = f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"
            style = {"color": "white" if dark else "black", "fontweight": weight, "fontsize": 9}
            axes.text(x, y, text, ha="center", va="center", **style)
    bar = figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.6, aspect=40)
    bar.set_ticks([-2, -1, 0, 1, 2, 3, 4], labels=["¼", "½", "as fast", "2×", "4×", "8×", "16×"])
    bar.outline.set_visible(False)
    axes.set_title(title, loc="left", fontweight="bold")
    figure.supxlabel(note, fontsize=7, color="#555555")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--layers", type=int, default=len(SHAPES), help="number of layers")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    isa = extension.chosen_isa()
    # Evenly spaced over the list.
    shapes = SHAPES[:: -(-len(SHAPES) // max(1, options.layers))]
    cells, ratios = [], []
    for shape in shapes:
        began = time.perf_counter()
        row = [measure(shape, density, options, isa) for density in DENSITIES]
        cells += row
        ratios.append([cell["torch_seconds"] / cell["seconds"] for cell in row])
        print(f"{name(shape)}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    note = (
        f"best sparse kernel over dense torch; {options.threads} threads, batch {options.batch}; "
        f"{processor_name()}, {isa}, torch {torch.__version__}"
    )
    rows = [
        (name(shape), *(f"{ratio:.2f}" for ratio in row))
        for shape, row in zip(shapes, ratios, strict=True)
    ]
    Table(("layer", *(f"{d:g}" for d in DENSITIES)), tuple(rows), notes=(note,)).print()
    stem = options.out / f"atlas-{options.threads}t-b{options.batch}"
    record = {"machine": machine(), "layers": cells}
    stem.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    title = "Where sparse convolutions pay: speed-up over dense torch"
    draw(stem.with_suffix(".png"), shapes, np.array(ratios), title, note)


if __name__ == "__main__":
    main()
