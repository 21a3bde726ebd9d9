"""Batch norm, residual sum and ReLU in training: `BatchNormAct2d` against torch's modules.

    python benchmarks/batch_norm_act.py [--threads 1] [--rounds 15] [--network resnet32]

Both take turns, so that other load on the machine affects both; a ratio is the median of torch's
time over ours. With `--network`, whole training steps of that network before and after
`fuse_norms_`.
"""

import argparse
import copy
import platform
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

import openwork as ow

SHAPES = [
    (64, 64, 32, 32),
    (64, 128, 16, 16),
    (64, 256, 8, 8),
    (64, 512, 4, 4),
    (64, 512, 2, 2),
    (128, 16, 32, 32),
    (128, 32, 16, 16),
    (128, 64, 8, 8),
    (8, 64, 112, 112),
    (8, 256, 56, 56),
    (8, 2048, 7, 7),
]


def ratio(one: Callable[[], None], two: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Milliseconds of `two`, and the median of the ratios of neighbouring calls."""
    times = [(_seconds(one), _seconds(two)) for _ in range(rounds + 2)][2:]
    return statistics.median(b for _, b in times) * 1e3, statistics.median(a / b for a, b in times)


def _seconds(run: Callable[[], None]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def layer(shape: tuple[int, ...], with_residual: bool, rounds: int) -> str:
    torchs, ours = nn.BatchNorm2d(shape[1]), ow.nn.BatchNormAct2d(shape[1])
    x = torch.randn(shape, requires_grad=True)
    residual = torch.randn(shape, requires_grad=True) if with_residual else None
    upstream = torch.randn(shape)

    def reference() -> torch.Tensor:
        y = torchs(x)
        return F.relu(y if residual is None else y + residual)

    def both(forward: Callable[[], torch.Tensor]) -> Callable[[], None]:
        def run() -> None:
            x.grad = None
            if residual is not None:
                residual.grad = None
            forward().backward(upstream)

        return run

    def fused() -> torch.Tensor:
        return ours(x, residual)

    forward, gain = ratio(lambda: void(reference), lambda: void(fused), rounds)
    step, whole = ratio(both(reference), both(fused), rounds)
    kind = "sum" if with_residual else "   "
    return (
        f"{shape!s:<20} {kind} forward {forward:7.2f} ms {gain:5.2f} x, "
        f"with backward {step:7.2f} ms {whole:5.2f} x"
    )


def void(run: Callable[[], torch.Tensor]) -> None:
    run()


def network(name: str, batch: int, rounds: int) -> str:
    torch.manual_seed(0)
    images, labels = torch.randn(batch, 3, 32, 32), torch.randint(0, 10, (batch,))
    plain = ow.models.build(name)
    fused = copy.deepcopy(plain)
    report = ow.nn.fuse_norms_(fused, images[:4])

    def step(model: nn.Module) -> Callable[[], None]:
        optimizer = torch.optim.Adam(model.parameters())

        def run() -> None:
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()

        return run

    took, gain = ratio(step(plain), step(fused), rounds)
    return f"{name}, batch {batch}, {len(report.fused)} norms fused: {took:.0f} ms, {gain:.2f} x"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--network", default="")
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{platform.platform()}, torch {torch.__version__}, {options.threads} threads")
    if options.network:
        print(network(options.network, options.batch, options.rounds))
        return
    for shape in SHAPES:
        for with_residual in (False, True):
            print(layer(shape, with_residual, options.rounds))


if __name__ == "__main__":
    main()
