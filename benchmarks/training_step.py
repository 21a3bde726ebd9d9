"""Time and memory of one training step: dense torch against sparse layers on their kernels.

    python benchmarks/training_step.py [--what vgg16-cifar resnet32 ... layers]
        [--densities 1 0.5 0.25 0.1 0.05] [--threads 1 2] [--fuse no|yes|both] [--batch 64]
        [--steps 5] [--near] [--out training_step.json]

All convolutions but the first and depthwise ones get random channel-wise patterns, the linear
layers of an MLP structured ones; at density 1 they are sparse layers all of whose connections are
live. "fused" also has batch norm, ReLU and sums in one pass, and depthwise layers on native kernels
(`ow.nn.fuse_norms_`). "layers" are single layers, forward and backward, and the median of their
ratios. Dense and sparse steps take turns, so that other load on the machine affects both; a figure
is the median of the ratios of neighbouring steps. Kernels are chosen before, in the first step.
With several threads each row says how far apart the cores were (`handover.py`); `--near` counts
only steps on cores that share an L3 cache, and waits for them. Rows that `--out` holds already are
not measured again.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from handover import NEAR_NS, handover_ns
from record import keep_rows, kept_rows
from torch import nn

import openwork as ow
from openwork.nn.kinds.to_sparse import to_sparse
from openwork.nn.layers import dense_layers, replace

# Batch and image of each network.
NETWORKS = {
    "vgg16-cifar": (64, (3, 32, 32)),
    "resnet32": (128, (3, 32, 32)),
    "cnn_small": (64, (3, 32, 32)),
    "timm:resnet50": (8, (3, 224, 224)),
    "timm:mobilenetv2_100": (16, (3, 224, 224)),
    "timm:mobilenetv3_large_100": (16, (3, 224, 224)),
    "timm:efficientnet_b0": (16, (3, 224, 224)),
    "mlp:3072-4096-512-10": (128, (3, 32, 32)),
}
# Inputs, outputs, kernel, stride and side of the feature map.
LAYERS = {
    "3x3 64@32": (64, 64, 3, 1, 32),
    "3x3 128@16": (128, 128, 3, 1, 16),
    "3x3 256@8": (256, 256, 3, 1, 8),
    "3x3 512@4": (512, 512, 3, 1, 4),
    "1x1 256->64@16": (256, 64, 1, 1, 16),
    "1x1 64->256@16": (64, 256, 1, 1, 16),
    "3x3/2 128->256@16": (128, 256, 3, 2, 16),
}
LAYER_BATCH = 64
DENSITIES = [1.0, 0.5, 0.25, 0.1, 0.05]


@dataclass(frozen=True)
class Row:
    """One comparison; seconds and ratios are medians."""

    what: str
    density: float
    fused: bool
    threads: int
    batch: int
    speedup: float
    dense_seconds: float
    sparse_seconds: float
    first_step_seconds: float
    dense_bytes: int
    sparse_bytes: int
    # From one core to another, the longest before or after a step; 0 for one thread.
    handover_ns: float = 0.0

    @property
    def key(self) -> tuple[Any, ...]:
        """What was measured."""
        return self.what, self.density, self.fused, self.threads, self.batch


class Step:
    """A network, its optimiser, and one step on random images."""

    def __init__(self, name: str, batch: int, density: float | None, fused: bool) -> None:
        torch.manual_seed(0)
        self.images = torch.randn(batch, *NETWORKS[name][1])
        self.labels = torch.randint(0, 10, (batch,))
        self.model = ow.models.build(name)
        if density is not None:
            sparsify(self.model, name.startswith("mlp"), density)
        if fused:
            ow.nn.fuse_norms_(self.model, self.images[:2])
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.model.train()

    def run(self) -> None:
        loss = F.cross_entropy(self.model(self.images), self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def bytes(self) -> int:
        """Bytes of weights, gradients and Adam."""
        return ow.nn.memory_use(self.model, self.optimizer).training


class LayerStep:
    """One layer, forward and backward."""

    def __init__(self, name: str, batch: int, density: float | None, fused: bool) -> None:
        torch.manual_seed(0)
        inputs, outputs, kernel, stride, side = LAYERS[name]
        self.model = nn.Sequential(
            nn.Identity(), nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        )
        if density is not None:
            sparsify(self.model, False, density, first=None)
        self.input = torch.randn(batch, inputs, side, side, requires_grad=True)
        self.gradient = torch.randn_like(self.model(self.input))

    def run(self) -> None:
        self.input.grad = None
        self.model.zero_grad()
        self.model(self.input).backward(self.gradient)

    def bytes(self) -> int:
        """Bytes of weights and gradients."""
        return ow.nn.memory_use(self.model).training


def sparsify(model: nn.Module, is_mlp: bool, density: float, first: int | None = 1) -> None:
    """Make convolutions but the first, or linear layers but the last, sparse."""
    kind = nn.Linear if is_mlp else nn.Conv2d
    # Depthwise layers have nothing to spare.
    names = [
        name
        for name, layer in dense_layers(model).items()
        if isinstance(layer, kind) and getattr(layer, "groups", 1) == 1
    ]
    names = names[:-1] if is_mlp else names[first:]
    if density < 1:
        pattern: dict[str, Any] = {"pattern": "random", "density": density}
        if is_mlp:
            pattern = {"pattern": "structured", "density": density, "nearest": True}
        ow.sparsify_(model, ow.Plan(dict.fromkeys(names, pattern)))
        return
    layers = dense_layers(model)
    # `sparsify_` leaves such layers dense, but `grow_` ends with them.
    replace(model, {layers[n]: to_sparse(layers[n], _whole(layers[n]), init="keep") for n in names})


def _whole(layer: Any) -> ow.Pattern:
    outputs, inputs, *kernel = layer.weight.shape
    return ow.patterns.dense(outputs, inputs, kernel)


def measure(
    make: Callable[..., Step | LayerStep],
    what: str,
    batch: int,
    density: float,
    fused: bool,
    steps: int,
    near: bool,
) -> Row:
    """Dense and sparse steps in turns; only those with near cores if `near`."""
    threads = torch.get_num_threads()
    dense, sparse = make(what, batch, None, False), make(what, batch, density, fused)
    choosing = _seconds(sparse.run)
    dense.run()
    sparse.run()
    times: list[tuple[float, float]] = []
    apart: list[float] = []
    while len(times) < steps:
        before = handover_ns(threads)
        if near and before > NEAR_NS:
            time.sleep(1)
            continue
        pair = _seconds(dense.run), _seconds(sparse.run)
        farthest = max(before, handover_ns(threads))
        if not near or farthest <= NEAR_NS:
            times.append(pair)
            apart.append(farthest)
    return Row(
        what=what,
        density=density,
        fused=fused,
        threads=threads,
        batch=batch,
        speedup=statistics.median(a / b for a, b in times),
        dense_seconds=statistics.median(a for a, _ in times),
        sparse_seconds=statistics.median(b for _, b in times),
        first_step_seconds=choosing,
        dense_bytes=dense.bytes(),
        sparse_bytes=sparse.bytes(),
        handover_ns=max(apart),
    )


def _seconds(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def wanted(options: argparse.Namespace) -> Iterator[tuple[str, list[str], bool, int]]:
    """(heading, what is measured, fused, threads) of each line of the table."""
    for threads in options.threads:
        for what in options.what:
            if what == "layers":
                yield what, list(LAYERS), False, threads
                continue
            norms = not what.startswith("mlp")
            if options.fuse != "yes" or not norms:
                yield what, [what], False, threads
            if options.fuse != "no" and norms:
                yield f"{what}, fused", [what], True, threads


def run_line(
    names: list[str], fused: bool, threads: int, options: argparse.Namespace, rows: list[Row]
) -> list[str]:
    """Measure one line of the table, and give its cells: one for each density."""
    torch.set_num_threads(threads)
    cells: list[str] = []
    for density in options.densities:
        ratios: list[float] = []
        for name in names:
            batch = options.batch or NETWORKS.get(name, (LAYER_BATCH,))[0]
            key = (name, density, fused, threads, batch)
            row = next((row for row in rows if row.key == key), None)
            if row is None:
                make = Step if name in NETWORKS else LayerStep
                row = measure(make, name, batch, density, fused, options.steps, options.near)
                rows.append(row)
                keep_rows(options.out, rows)
            ratios.append(row.speedup)
        cells.append(f"{statistics.median(ratios):.2f}")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    choices = [*NETWORKS, "layers"]
    parser.add_argument("--what", nargs="+", default=choices, choices=choices)
    parser.add_argument("--densities", nargs="+", type=float, default=DENSITIES)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--near", action="store_true", help="count steps on near cores only")
    parser.add_argument("--fuse", choices=["no", "yes", "both"], default="both")
    parser.add_argument("--batch", type=int, help="instead of each network's own")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = [Row(**row) for row in kept_rows(options.out)]
    print("| step, dense torch over sparse | " + " | ".join(map(str, options.densities)) + " |")
    print("|---" * (1 + len(options.densities)) + "|")
    for heading, names, fused, threads in wanted(options):
        cells = run_line(names, fused, threads, options, rows)
        print(f"| {heading}, {threads} threads | {' | '.join(cells)} |", flush=True)
    print()
    print("| | density | dense ms | sparse ms | ratio | first step s | dense MB | sparse MB |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        name = f"{row.what}{', fused' * row.fused}, {row.threads} threads, batch {row.batch}"
        times = f"{1e3 * row.dense_seconds:.1f} | {1e3 * row.sparse_seconds:.1f}"
        memory = f"{row.dense_bytes / 1e6:.1f} | {row.sparse_bytes / 1e6:.1f}"
        print(
            f"| {name} | {row.density} | {times} | {row.speedup:.2f} "
            f"| {row.first_step_seconds:.1f} | {memory} |"
        )


if __name__ == "__main__":
    main()
