"""How long networks take, measured so that they can be compared on a busy machine."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from openwork._arguments import check_count
from openwork._mode import evaluation
from openwork._unchanged import unchanged


@dataclass(frozen=True)
class Latency:
    """The time of one forward pass.

    Attributes:
        median: median of all passes, in seconds.
        low, high: first and ninth decile, in seconds.
        passes: number of timed passes.
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

    Because they take turns, other load on the machine affects all of them equally, so the ratios
    are more reliable than the times.

    Args:
        models: the models, all on one device; what running them changes is put back.
        example: an input batch `(N, ...)` on their device.
        passes: timed passes of each model, at least 1, default 50.
        warmup: untimed passes of each model before these, default 5.

    Returns:
        One `Latency` per model.

    Raises:
        ArgumentError: `passes` is below 1.
    """
    check_count("passes", passes)
    times: list[list[float]] = [[] for _ in models]
    with unchanged(*models), evaluation(*models):
        for turn in range(warmup + passes):
            for model, seconds in zip(models, times, strict=True):
                _wait(example)
                began = time.perf_counter()
                model(example)
                _wait(example)
                if turn >= warmup:
                    seconds.append(time.perf_counter() - began)
    return [_summary(seconds) for seconds in times]


def _summary(times: list[float]) -> Latency:
    deciles = statistics.quantiles(times, n=10) if len(times) > 1 else times * 9
    return Latency(statistics.median(times), deciles[0], deciles[-1], len(times))


def _wait(example: torch.Tensor) -> None:
    if example.is_cuda:
        torch.cuda.synchronize(example.device)
