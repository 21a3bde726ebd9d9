"""The break-even atlas: for each layer shape and density, sparse against torch's dense convolution.

    python benchmarks/atlas.py [--threads 1] [--batch 1]

Random channel-wise patterns, float32. Shows also where sparse loses (below 1). Writes
atlas-<threads>t-b<batch>.json and .png beside this file.
"""

import argparse
import json
import platform
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from record import machine

import openwork as ow
from openwork.engine.graph import Conv, Value
from openwork.engine.race import TORCH, Race
from openwork.engine.tune import problem_of
from openwork.kernels.dispatch import candidates_by_family
from openwork.kernels.native import extension
from openwork.nn import LayerTable

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


def draw(path: Path, ratios: np.ndarray, title: str) -> None:
    figure = Figure(figsize=(8.5, 0.8 + 0.33 * len(SHAPES)), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(np.log2(ratios), cmap="RdBu", vmin=-3.3, vmax=3.3, aspect="auto")
    axes.set_xticks(range(len(DENSITIES)), [f"{d:g}" for d in DENSITIES])
    axes.set_yticks(range(len(SHAPES)), [name(shape) for shape in SHAPES])
    axes.set_xlabel("density")
    for y, row in enumerate(ratios):
        for x, ratio in enumerate(row):
            axes.text(x, y, f"{ratio:.1f}", ha="center", va="center", fontsize=8)
    axes.set_title(title)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    isa = extension.chosen_isa()
    rows, ratios, record = [], [], []
    for shape in SHAPES:
        line = []
        for density in DENSITIES:
            conv = layer(shape, density)
            problem = problem_of(conv)
            race = Race(conv, problem, options.batch, options.threads)
            race.enter_families(candidates_by_family(problem, isa, options.batch).values())
            race.finish()
            times = race.standing
            torch_seconds = times.pop(TORCH)
            best = min(times, key=lambda kernel: times[kernel])
            line.append(torch_seconds / times[best])
            record.append(
                {
                    "layer": name(shape),
                    "density": density,
                    "kernel": best,
                    "seconds": times[best],
                    "torch_seconds": torch_seconds,
                }
            )
        ratios.append(line)
        rows.append((name(shape), *(f"{ratio:.2f}" for ratio in line)))
    note = (
        f"best sparse kernel over dense torch; {options.threads} threads, batch {options.batch}; "
        f"{platform.platform()}, torch {torch.__version__}"
    )
    LayerTable(("layer", *(f"{d:g}" for d in DENSITIES)), tuple(rows), notes=(note,)).print()
    stem = Path(__file__).with_name(f"atlas-{options.threads}t-b{options.batch}")
    stem.with_suffix(".json").write_text(
        json.dumps({"machine": machine(), "layers": record}) + "\n"
    )
    title = f"speed-up over dense torch, {options.threads} threads, batch {options.batch}"
    draw(stem.with_suffix(".png"), np.array(ratios), title)


if __name__ == "__main__":
    main()
