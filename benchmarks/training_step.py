"""Time and memory of one training step: dense torch against sparse layers on their kernels.

    python benchmarks/training_step.py [--models vgg16-cifar,resnet32] [--densities 0.25,0.1]
        [--steps 5] [--threads 1] [--out FILE.json]

All convolutions but the first get random channel-wise patterns, the linear layers of an MLP
structured ones. "fused" also has batch norm, ReLU and sums in one pass (`ow.nn.fuse_norms_`). Dense
and sparse steps take turns, so that other load on the machine affects both; a figure is the median
of the ratios of neighbouring steps. Kernels are chosen before.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

import openwork as ow

# Batch and image of each network.
NETWORKS = {
    "vgg16-cifar": (64, (3, 32, 32)),
    "resnet32": (128, (3, 32, 32)),
    "cnn_small": (64, (3, 32, 32)),
    "mlp:3072-4096-512-10": (128, (3, 32, 32)),
    "timm:resnet50": (8, (3, 224, 224)),
}


class Step:
    """A network, its optimiser, and one step on random images."""

    def __init__(self, name: str, density: float, fused: bool) -> None:
        torch.manual_seed(0)
        batch, image = NETWORKS[name]
        self.images = torch.randn(batch, *image)
        self.labels = torch.randint(0, 10, (batch,))
        self.model = ow.models.build(name)
        if density < 1:
            ow.sparsify_(self.model, ow.Plan(_rules(self.model, name, density)))
        if fused:
            ow.nn.fuse_norms_(self.model, self.images[:2])
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.model.train()

    def run(self) -> float:
        """Seconds of one step."""
        began = time.perf_counter()
        loss = F.cross_entropy(self.model(self.images), self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return time.perf_counter() - began


def _rules(model: torch.nn.Module, name: str, density: float) -> dict[str, Any]:
    if name.startswith("mlp"):
        return {"linear:*": {"pattern": "structured", "density": density}, "last": "dense"}
    first = next(n for n, m in model.named_modules() if isinstance(m, torch.nn.Conv2d))
    return {"conv:*": {"pattern": "random", "density": density}, first: "dense"}


def measure(name: str, density: float, fused: bool, steps: int) -> dict[str, Any]:
    """Median seconds of dense and sparse steps, and of their ratios."""
    dense, sparse = Step(name, 1.0, False), Step(name, density, fused)
    began = time.perf_counter()
    sparse.run()
    choosing = time.perf_counter() - began
    times = [(dense.run(), sparse.run()) for _ in range(steps + 1)][1:]
    uses = [ow.nn.memory_use(step.model, step.optimizer) for step in (dense, sparse)]
    return {
        "model": name,
        "density": density,
        "fused": fused,
        "dense_seconds": statistics.median(a for a, _ in times),
        "sparse_seconds": statistics.median(b for _, b in times),
        "speedup": statistics.median(a / b for a, b in times),
        "first_step_seconds": choosing,
        "dense_bytes": uses[0].training,
        "sparse_bytes": uses[1].training,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="vgg16-cifar,resnet32,cnn_small,mlp:3072-4096-512-10")
    parser.add_argument("--densities", default="0.5,0.25,0.1,0.05")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--fused", choices=["no", "yes", "both"], default="both")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{platform.platform()}, torch {torch.__version__}, {options.threads} threads")
    print(
        "| step, dense torch over sparse | density | speed-up | dense s | sparse s | first step s |"
    )
    print("|---|---|---|---|---|---|")
    rows = []
    for name in options.models.split(","):
        for fused in {"no": [False], "yes": [True], "both": [False, True]}[options.fused]:
            if fused and name.startswith("mlp"):
                continue
            for density in map(float, options.densities.split(",")):
                row = measure(name, density, fused, options.steps)
                rows.append(row)
                print(
                    f"| {name}{', fused' * fused} | {density} | {row['speedup']:.2f} "
                    f"| {row['dense_seconds']:.3f} | {row['sparse_seconds']:.3f} "
                    f"| {row['first_step_seconds']:.1f} |",
                    flush=True,
                )
    if options.out is not None:
        machine = {"platform": platform.platform(), "torch": torch.__version__}
        text = json.dumps({**machine, "threads": options.threads, "rows": rows}, indent=1)
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
