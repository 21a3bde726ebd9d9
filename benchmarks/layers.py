"""Times of single layers against torch's dense convolution: the two target tables.

    python benchmarks/layers.py [--threads 1] [--batch 1] [--densities 0.5 0.25 0.15 0.1]
                                [--ops 3x3 1x1] [--json layers.json]

Random channel-wise patterns, float32. Each candidate is timed briefly; the best few then take turns
with torch in the same loop, each after an untimed call (so that caches are warm, for torch too);
times are the lower decile of the repeats.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from openwork.kernels.dispatch import candidates
from openwork.kernels.native import extension
from openwork.kernels.packed import Packed
from openwork.kernels.problem import Geometry, Problem

# op -> (kernel, stride, padding), and below its layers (inputs, outputs, side of the feature map).
# The first two have targets.
OPS = {
    "3x3": ((3, 3), (1, 1), (1, 1)),
    "1x1": ((1, 1), (1, 1), (0, 0)),
    "3x3s2": ((3, 3), (2, 2), (1, 1)),
    "1x1s2": ((1, 1), (2, 2), (0, 0)),
    "5x5": ((5, 5), (1, 1), (2, 2)),
    "1x7": ((1, 7), (1, 1), (0, 3)),
    "7x1": ((7, 1), (1, 1), (3, 0)),
}
LAYERS = {
    "3x3": [
        *((64, 64, 56), (128, 128, 28), (256, 256, 14)),
        *((256, 256, 56), (512, 512, 28), (512, 512, 14)),
    ],
    "1x1": [(256, 64, 56), (64, 256, 56), (512, 128, 28), (1024, 256, 14), (2048, 512, 7)],
    "3x3s2": [(128, 128, 56), (256, 256, 28), (512, 512, 14)],
    "1x1s2": [(256, 512, 56), (512, 1024, 28)],
    "5x5": [(48, 64, 35)],
    "1x7": [(128, 192, 17)],
    "7x1": [(128, 192, 17)],
}
TARGETS = {
    "3x3": {0.5: 2.4, 0.25: 4.5, 0.15: 6.0, 0.1: 8.5},
    "1x1": {0.5: 1.3, 0.25: 2.6, 0.15: 4.0, 0.1: 6.0},
}


def make(op: str, layer: tuple[int, int, int], density: float) -> tuple[Problem, torch.Tensor]:
    """A problem with a random pattern, and its dense weight."""
    inputs, outputs, side = layer
    kernel, stride, padding = OPS[op]
    taps = kernel[0] * kernel[1]
    random = np.random.default_rng([inputs, outputs, side, int(density * 1000)])
    units = np.flatnonzero(random.random(outputs * inputs) < density)
    positions = (units[:, None] * taps + np.arange(taps)).reshape(-1)
    weight = (random.standard_normal(len(positions)) / (inputs * taps * density) ** 0.5).astype(
        "f4"
    )
    dense = np.zeros(outputs * inputs * taps, dtype=np.float32)
    dense[positions] = weight
    geometry = Geometry(inputs, outputs, (side, side), kernel, stride, padding)
    problem = Problem(geometry, 1, positions, weight)
    return problem, torch.from_numpy(dense).view(outputs, inputs, *kernel)


def seconds(call: Callable[[], object], budget: float) -> float:
    """The shortest of the calls that fit into `budget` seconds, at least three."""
    times = []
    end = time.perf_counter() + budget
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def together(calls: dict[str, Callable[[], object]], budget: float) -> dict[str, float]:
    """The lower decile of each call's times; the calls take turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + budget
    while len(next(iter(times.values()))) < 10 or time.perf_counter() < end:
        for name, call in calls.items():
            # An untimed call first, so that the caches hold this call's data.
            call()
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: float(np.quantile(values, 0.1)) for name, values in times.items()}


def measure(
    op: str, layer: tuple[int, int, int], density: float, options: argparse.Namespace
) -> dict:
    problem, dense = make(op, layer, density)
    inputs, outputs, side = layer
    x = torch.randn(options.batch, inputs, side, side)
    height, width = problem.geometry.out_size
    out = torch.empty(options.batch, outputs, height, width)
    _, stride, padding = OPS[op]

    def runner(plan: Packed) -> Callable[[], None]:
        workspace = torch.empty(plan.workspace(options.batch, options.threads))
        return lambda: plan.run(x, out, workspace, threads=options.threads)

    screened = []
    for candidate in candidates(problem, batch=options.batch):
        if options.only and options.only not in candidate.name:
            continue
        plan = Packed(problem, candidate)
        screened.append((seconds(runner(plan), options.screen), candidate.name, plan))
    screened.sort(key=lambda item: item[0])
    if options.all:
        for spent, name, _ in screened:
            print(f"    {name:50s} {spent * 1e3:8.3f} ms")
    calls: dict[str, Callable[[], object]] = {name: runner(plan) for _, name, plan in screened[:3]}
    calls["torch"] = lambda: F.conv2d(x, dense, None, stride, padding)
    times = together(calls, options.measure)
    torch_seconds = times.pop("torch")
    name = min(times, key=lambda key: times[key])
    macs = problem.macs() * options.batch
    full = dense.numel() * height * width * options.batch
    return {
        "op": op,
        "layer": f"{inputs}->{outputs}@{side}",
        "density": density,
        "kernel": name,
        "ms": times[name] * 1e3,
        "torch_ms": torch_seconds * 1e3,
        "ratio": torch_seconds / times[name],
        "gflops": 2 * macs / times[name] / 1e9,
        "dense_equivalent_gflops": 2 * full / times[name] / 1e9,
        "torch_gflops": 2 * full / torch_seconds / 1e9,
    }


def machine() -> dict[str, str]:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith(("model name", "CPU part"))
    ]
    return {
        "cpu": names[0] if names else platform.processor(),
        "isa": extension.chosen_isa(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Layer times against torch.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--densities", type=float, nargs="+", default=[0.5, 0.25, 0.15, 0.1])
    parser.add_argument("--ops", nargs="+", choices=list(OPS), default=["3x3", "1x1"])
    parser.add_argument("--only", default="", help="only candidates whose name contains this")
    parser.add_argument("--layer", default="", help="only this layer, such as 64->64@56")
    parser.add_argument("--all", action="store_true", help="print every candidate's time")
    parser.add_argument("--screen", type=float, default=0.02, help="seconds per candidate")
    parser.add_argument("--measure", type=float, default=0.6, help="seconds per final comparison")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    about = machine() | {"threads": options.threads, "batch": options.batch}
    print(about)

    results = []
    for op in options.ops:
        for density in options.densities:
            rows = []
            for layer in LAYERS[op]:
                if options.layer and options.layer != "{}->{}@{}".format(*layer):
                    continue
                row = measure(op, layer, density, options)
                rows.append(row)
                print(
                    f"{op} {row['layer']:13s} {density:5.2f}  {row['ratio']:6.2f}x"
                    f"  {row['ms']:8.3f} ms  torch {row['torch_ms']:8.3f} ms"
                    f" ({row['torch_gflops']:4.0f} GFLOP/s)  real {row['gflops']:4.0f}"
                    f"  dense-equivalent {row['dense_equivalent_gflops']:5.0f}  {row['kernel']}",
                    flush=True,
                )
            median = statistics.median(row["ratio"] for row in rows)
            target = TARGETS.get(op, {}).get(density)
            aim = f" (target {target}x)" if target else ""
            print(f"{op} median at {density}: {median:.2f}x{aim}", flush=True)
            results += rows
    if options.json:
        options.json.write_text(json.dumps({"machine": about, "layers": results}, indent=1))


if __name__ == "__main__":
    main()
