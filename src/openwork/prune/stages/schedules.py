"""Schedules: which share of the ratio is cut by when, as functions of progress in [0, 1].

In your own training loop, cut at `progress` with `by_criterion(model, ratio=target *
gradual(progress), of="all")` and `apply_`, and create a new optimiser afterwards. For
`in_stages_`, `in_steps` turns a schedule into stages.
"""

import dataclasses
import math
from collections.abc import Callable

from openwork._arguments import check_choice, check_count, check_number
from openwork.prune.stages.stage import Stage


def one_shot(progress: float) -> float:
    """All at once, at the start: 1 at any `progress`. The paper's schedule.

    Examples:
        >>> one_shot(0.0)
        1.0
    """
    return 1.0 + 0.0 * _checked(progress)


def iterative(progress: float, steps: int = 5) -> float:
    """Equal steps: 0 at the start, `1 / steps` more after each `1 / steps` of the way.

    Args:
        progress: in [0, 1].
        steps: at least 1, default 5.

    Examples:
        >>> [iterative(progress, steps=4) for progress in (0, 0.25, 0.6, 1)]
        [0.0, 0.25, 0.5, 1.0]
    """
    return math.floor(_checked(progress) * check_count("steps", steps) + 1e-9) / steps


def gradual(progress: float) -> float:
    """Fast at first, slow at the end: `1 - (1 - progress) ** 3`.

    Source: "To prune, or not to prune" (Zhu, Gupta 2017).

    Examples:
        >>> [gradual(progress) for progress in (0, 0.5, 1)]
        [0.0, 0.875, 1.0]
    """
    return 1.0 - (1.0 - _checked(progress)) ** 3


def in_steps(
    granularity: str, ratio: float, *, schedule: str = "gradual", steps: int = 5
) -> tuple[Stage, ...]:
    """The stages that reach `ratio` in `steps` cuts, for `in_stages_`.

    Args:
        granularity: what every stage cuts.
        ratio: share of the dense layers that is removed after the last stage, in [0, 1).
        schedule: "gradual" (default), "iterative", or "one_shot", which is one stage.
        steps: number of cuts, default 5.

    Raises:
        ArgumentError: an unknown granularity or schedule, `ratio` outside [0, 1), or `steps` below
            1.

    Examples:
        >>> [stage.ratio for stage in in_steps("kernel", 0.5, steps=2)]
        [0.4375, 0.5]
    """
    check_choice("schedule", schedule, tuple(SCHEDULES))
    check_count("steps", steps)
    last = Stage(granularity, ratio, of="all")
    shares = [SCHEDULES[schedule]((step + 1) / steps, steps) for step in range(steps)]
    # A stage that cuts no more than the one before would only retrain.
    rising = [
        share for before, share in zip([0.0, *shares], shares, strict=False) if share > before
    ]
    return tuple(dataclasses.replace(last, ratio=last.ratio * share) for share in rising)


SCHEDULES: dict[str, Callable[[float, int], float]] = {
    "one_shot": lambda progress, steps: one_shot(progress),
    "iterative": iterative,
    "gradual": lambda progress, steps: gradual(progress),
}


def _checked(progress: float) -> float:
    rule = "in [0, 1], the share of the way"
    return check_number("progress", progress, rule, lambda share: 0 <= share <= 1)
