"""How many multiply-adds this machine does in a second, at best."""

import time

import torch


def best_rate(size: int = 512, turns: int = 100) -> float:
    """Multiply-adds a second of torch's matrix product in float32: what stands for the peak.

    The best of many short products, so that a busy machine interrupts only some of them.

    Args:
        size: of the square matrices, default 512: a few milliseconds on one core.
        turns: how many products, default 100.
    """
    dice = torch.Generator().manual_seed(0)
    a, b = (torch.rand(size, size, generator=dice) for _ in range(2))
    times = []
    for _ in range(turns):
        began = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - began)
    return size**3 / min(times)
