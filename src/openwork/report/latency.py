"""How long a network takes, measured so that two can be compared on a busy machine."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from openwork._arguments import check_count
from openwork._mode import evaluation


@dataclass(frozen=True)
class Latency:
    """Seconds of one forward pass.

    Attributes:
        median: of all passes.
        low, high: the first and ninth decile.
        passes: how many were timed.
    """

    median: float
    low: float
    high: float
    passes: int


@torch.inference_mode()
def measure_latency(
    models: Sequence[nn.Module], example: torch.Tensor, *, passes: int = 50, warmup: int = 5
) -> list[Latency]:
    """Time a forward pass of each model in evaluation mode, taking turns pass by pass.

    Taking turns means that whatever else the machine does falls on all of them alike, so the
    ratios are worth more than the times.

    Args:
        models: moved nowhere; their training mode is put back.
        example: an input batch `(N, ...)` on their device.
        passes: timed passes of each, at least 1, default 50.
        warmup: untimed passes of each before, default 5.
    """
    check_count("passes", passes)
    times: list[list[float]] = [[] for _ in models]
    with evaluation(*models):
        for turn in range(warmup + passes):
            for model, own in zip(models, times, strict=True):
                _wait(example)
                began = time.perf_counter()
                model(example)
                _wait(example)
                if turn >= warmup:
                    own.append(time.perf_counter() - began)
    return [_summary(own) for own in times]


def _summary(times: list[float]) -> Latency:
    deciles = statistics.quantiles(times, n=10) if len(times) > 1 else times * 9
    return Latency(statistics.median(times), deciles[0], deciles[-1], len(times))


def _wait(example: torch.Tensor) -> None:
    if example.is_cuda:
        torch.cuda.synchronize(example.device)
