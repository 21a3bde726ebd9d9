"""Time and memory of one training step: CIFAR VGG-16, dense against sparse.

    python benchmarks/training_step.py [--density 0.1] [--batch 64] [--steps 12] [--threads 2]

Dense and sparse steps take turns, so that other load on the machine affects both; the result is the
median of the ratios of neighbouring steps.
"""

import argparse
import platform
import statistics
import time

import torch
import torch.nn.functional as F

import openwork as ow


class Step:
    """A network, its optimiser, and one step on random images."""

    def __init__(self, density: float, batch: int) -> None:
        torch.manual_seed(0)
        self.model = ow.models.build("vgg16-cifar")
        if density < 1:
            rules = {
                "conv:*": {"pattern": "random", "density": density},
                "features.0": "dense",
            }
            ow.sparsify_(self.model, ow.Plan(rules))
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.images = torch.randn(batch, 3, 32, 32)
        self.labels = torch.randint(0, 10, (batch,))

    def run(self) -> float:
        """Seconds of one step."""
        began = time.perf_counter()
        loss = F.cross_entropy(self.model(self.images), self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{platform.platform()}, torch {torch.__version__}, {options.threads} threads")

    dense, sparse = Step(1.0, options.batch), Step(options.density, options.batch)
    times = [(dense.run(), sparse.run()) for _ in range(options.steps + 2)][2:]
    ratio = statistics.median(b / a for a, b in times)
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    print(f"step: dense {medians[0]:.3f} s, sparse {medians[1]:.3f} s, ratio {ratio:.3f}")

    print("bytes of the tensors after a step:")
    uses = [ow.nn.memory_use(step.model, step.optimizer) for step in (dense, sparse)]
    for name in ("parameters", "gradients", "optimizer", "indices", "training"):
        before, after = (getattr(use, name) for use in uses)
        share = f"{after / before:.4f}" if before else "-"
        print(f"  {name:<11} {before:>12,} {after:>12,}  {share}")
    layers = [m for m in sparse.model.modules() if isinstance(m, ow.nn.SparseLayer)]
    live = sum(layer.weight.numel() for layer in layers)
    total = sum(layer.pattern.live / layer.pattern.density for layer in layers)
    indices = uses[1].indices
    state = sum(
        t.untyped_storage().nbytes()
        for layer in layers
        for t in (layer.weight, layer.weight.grad, *_tensors(sparse.optimizer, layer.weight))
        if t is not None
    )
    share = state / total / 16
    print(f"sparse layers: density {live / total:.4f}, bytes / dense bytes {share:.4f}")
    print(f"indices: {indices / state:.2%} of that, {indices / total / 16:.2%} of dense")


def _tensors(optimizer: torch.optim.Optimizer, weight: torch.Tensor) -> list[torch.Tensor]:
    return [v for v in optimizer.state[weight].values() if isinstance(v, torch.Tensor)]


if __name__ == "__main__":
    main()
