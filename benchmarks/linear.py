"""Linear layers at small batches: ours against torch's and ONNX Runtime's dense layer.

    python benchmarks/linear.py [--threads 1] [--batches 1 4] [--layers 3] [--json linear.json]

Random patterns, and blocks of 4 rows that share their inputs, float32. All contenders of a layer
take turns; each call is timed after an untimed one, so that caches are warm for all, and the median
counts. A run continues from the rows that the JSON holds.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from baselines import onnx_bytes, onnxruntime_call
from record import keep_rows, kept_rows
from torch import nn

from openwork.kernels.dispatch import candidates_by_family
from openwork.kernels.packed import Packed
from openwork.kernels.problem import Geometry, Problem
from openwork.nn import Table

# (inputs, outputs)
LAYERS = ((2048, 1000), (4096, 4096), (25088, 4096))
# (density, rows of a block)
PATTERNS = ((1.0, 1), (0.5, 1), (0.25, 1), (0.1, 1), (0.05, 1), (0.1, 4), (0.05, 4))


@dataclass(frozen=True)
class Row:
    """One pattern of one layer; times are medians in seconds."""

    inputs: int
    outputs: int
    batch: int
    threads: int
    density: float
    block: int
    kernel: str
    seconds: float
    torch_seconds: float
    onnxruntime_seconds: float
    gigabytes_per_second: float


def problem_of(layer: nn.Linear, density: float, block: int) -> Problem:
    """`layer` with a random pattern."""
    outputs, inputs = layer.weight.shape
    random = np.random.default_rng(0)
    live = random.random((outputs // block, inputs), dtype=np.float32) < density
    positions = np.flatnonzero(np.repeat(live, block, axis=0))
    weight = layer.weight.detach().numpy().reshape(-1)[positions]
    bias = layer.bias.detach().numpy()
    return Problem(Geometry(inputs, outputs, (1, 1), (1, 1)), 1, positions, weight, bias)


def packed_bytes(problem: Problem, block: int) -> int:
    """Bytes of weights and indices that a call reads, steps that fill up slices aside."""
    live = problem.positions.size
    return live * 4 + (0 if _family(problem).endswith("dense") else live // block * 2)


def _family(problem: Problem) -> str:
    every = problem.geometry.in_channels * problem.geometry.out_channels
    return "f32-linear-dense" if problem.positions.size == every else "f32-linear-gemv"


def our_call(problem: Problem, x: torch.Tensor, threads: int) -> tuple[str, Callable[[], object]]:
    """The kernel that runs `problem` fastest, and a call of it."""
    input = x.view(*x.shape, 1, 1)
    output = torch.empty(len(x), problem.geometry.out_channels, 1, 1)
    calls: dict[str, Callable[[], object]] = {}
    (family,) = candidates_by_family(problem, None, len(x), [_family(problem)]).values()
    for candidate in family:
        plan = Packed(problem, candidate)
        workspace = torch.empty(plan.workspace(len(x), threads))
        calls[candidate.name] = lambda plan=plan, workspace=workspace: plan.run(
            input, output, workspace, None, threads
        )
    times = medians(calls, turns=5)
    best = min(times, key=lambda name: times[name])
    return best, calls[best]


def medians(calls: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Median seconds of a call of each, in turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            call()
            began = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(each) for name, each in times.items()}


def measure(inputs: int, outputs: int, batch: int, threads: int) -> list[Row]:
    layer = nn.Linear(inputs, outputs).requires_grad_(False)
    x = torch.randn(batch, inputs)
    calls: dict[str, Callable[[], object]] = {
        "torch": lambda: layer(x),
        "onnxruntime": onnxruntime_call(onnx_bytes(layer, x), x, threads),
    }
    ours: dict[str, tuple[float, int, str, int]] = {}
    for density, block in PATTERNS:
        problem = problem_of(layer, density, block)
        kernel, call = our_call(problem, x, threads)
        key = f"{density:g} {block}"
        ours[key] = density, block, kernel, packed_bytes(problem, block)
        calls[key] = call
    # About three seconds, at least seven turns.
    once = medians(calls, turns=1)
    times = medians(calls, turns=max(7, min(200, int(3 / (2 * sum(once.values()))))))
    return [
        Row(
            *(inputs, outputs, batch, threads, density, block, kernel, times[key]),
            *(times["torch"], times["onnxruntime"], size / times[key] / 1e9),
        )
        for key, (density, block, kernel, size) in ours.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--layers", type=int, default=len(LAYERS), help="number of layers")
    parser.add_argument("--json", type=Path, default=None, help="file to keep the rows in")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = [Row(**row) for row in kept_rows(options.json)]
    for inputs, outputs in LAYERS[: options.layers]:
        for batch in options.batches:
            wanted = inputs, outputs, batch, options.threads
            if wanted not in {(r.inputs, r.outputs, r.batch, r.threads) for r in rows}:
                rows += measure(*wanted)
                keep_rows(options.json, rows)
    header = ("layer", "batch", "threads", "density", "block", "ms", "GB/s", "torch", "onnxruntime")
    lines = [
        (
            f"{r.inputs}->{r.outputs}",
            *(str(r.batch), str(r.threads), f"{r.density:g}", str(r.block)),
            *(f"{r.seconds * 1e3:.3f}", f"{r.gigabytes_per_second:.1f}"),
            *(f"{t / r.seconds:.2f}" for t in (r.torch_seconds, r.onnxruntime_seconds)),
        )
        for r in rows
    ]
    note = "torch, onnxruntime: their dense layer's time / ours"
    Table(header, tuple(lines), notes=(note,)).print()


if __name__ == "__main__":
    main()
