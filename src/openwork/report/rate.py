"""The most multiply-adds per second that this machine reaches."""

import time

import torch


def best_rate(size: int = 512, turns: int = 100) -> float:
    """Multiply-adds per second of torch's float32 matrix product, used as the peak.

    The best of many short products, because other load interrupts only some of them.

    Args:
        size: side of the square matrices, default 512: a few milliseconds on one core.
        turns: number of products, default 100.
    """
    dice = torch.Generator().manual_seed(0)
    a, b = (torch.rand(size, size, generator=dice) for _ in range(2))
    times = []
    for _ in range(turns):
        began = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - began)
    return size**3 / min(times)
