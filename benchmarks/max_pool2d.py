"""Max pooling in training: `NativeMaxPool2d` against torch's module.

    python benchmarks/max_pool2d.py [--threads 1] [--rounds 15]

Both take turns; a ratio is the median of torch's time over ours. torch keeps the input and eight
bytes per output for the gradient, ours one byte.
"""

import argparse
import platform
from collections.abc import Callable

import torch
from batch_norm_act import ratio
from torch import nn

from openwork.nn import NativeMaxPool2d

# Kernel, stride, padding, and the input.
CASES = [
    (2, 2, 0, (64, 64, 32, 32)),
    (2, 2, 0, (64, 128, 16, 16)),
    (2, 2, 0, (64, 256, 8, 8)),
    (2, 2, 0, (64, 512, 4, 4)),
    (2, 2, 0, (64, 512, 2, 2)),
    (3, 2, 1, (8, 64, 112, 112)),
    (3, 1, 1, (64, 64, 32, 32)),
]


def case(kernel: int, stride: int, padding: int, shape: tuple[int, ...], rounds: int) -> str:
    torchs = nn.MaxPool2d(kernel, stride, padding)
    ours = NativeMaxPool2d.from_pool(torchs)
    x = torch.randn(shape, requires_grad=True)
    upstream = torch.randn(torchs(x).shape)

    def forward(pool: nn.Module) -> Callable[[], None]:
        def run() -> None:
            pool(x)

        return run

    def step(pool: nn.Module) -> Callable[[], None]:
        def run() -> None:
            x.grad = None
            pool(x).backward(upstream)

        return run

    one, gain = ratio(forward(torchs), forward(ours), rounds)
    both, whole = ratio(step(torchs), step(ours), rounds)
    return (
        f"{kernel}x{kernel} stride {stride} {shape!s:<18} forward {one:6.2f} ms {gain:5.2f} x, "
        f"with backward {both:6.2f} ms {whole:5.2f} x"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{platform.platform()}, torch {torch.__version__}, {options.threads} threads")
    for kernel, stride, padding, shape in CASES:
        print(case(kernel, stride, padding, shape, options.rounds))


if __name__ == "__main__":
    main()
