"""Learning-rate schedules: functions from progress in [0, 1] to a factor on the peak rate."""

import math
from collections.abc import Callable, Sequence

__all__ = ["SCHEDULES"]

SCHEDULES: dict[str, Callable[[float, Sequence[float], float], float]] = {
    "constant": lambda progress, milestones, drop: 1.0,
    "linear": lambda progress, milestones, drop: 1.0 - progress,
    "cosine": lambda progress, milestones, drop: 0.5 * (1.0 + math.cos(math.pi * progress)),
    "step": lambda progress, milestones, drop: drop ** sum(progress >= m for m in milestones),
}
"""Name -> (progress after warm-up, milestones, drop) -> factor."""


def lr_factor(
    schedule: str, progress: float, *, warmup: float, milestones: Sequence[float], drop: float
) -> float:
    """The factor on the peak learning rate at `progress` (0 to 1) of the run."""
    if progress < warmup:
        return progress / warmup
    return SCHEDULES[schedule]((progress - warmup) / (1.0 - warmup), milestones, drop)
