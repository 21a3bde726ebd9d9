"""`largest_ratio`: how much can go if the error may rise by so much, found by bisection."""

import copy
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from openwork._arguments import check_choice, check_count, check_number
from openwork.errors import ArgumentError, PlanError
from openwork.nn import Plan
from openwork.prune.error_of import Evaluate, error_of
from openwork.prune.report import console
from openwork.prune.stages.checkpoints import Checkpoints, with_settings
from openwork.prune.stages.in_stages import Choose, result_table
from openwork.prune.stages.stage import Retrain, Stage, StageResult, run_stage_
from openwork.prune.units.granularity import GRANULARITIES


@dataclass(frozen=True, eq=False)
class LargestRatio:
    """The end of a bisection.

    Attributes:
        model: the most pruned network that kept within the tolerance, retrained; a copy of the
            original if none did.
        ratio: its ratio, 0 if none did.
        error: its error.
        baseline: error of the original.
        trials: every ratio that was cut, in order.
    """

    model: nn.Module
    ratio: float
    error: float
    baseline: float
    trials: tuple[StageResult, ...]


def largest_ratio(
    model: nn.Module,
    choose: Choose,
    retrain: Retrain,
    evaluate: Evaluate,
    *,
    granularity: str = "kernel",
    tolerance: float = 0.01,
    highest: float = 0.95,
    trials: int = 5,
    batches: Iterable[Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    identity: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> LargestRatio:
    """Find the largest ratio at which the retrained network's error rises by `tolerance` at most.

    Ratios between 0 and `highest` are halved `trials` times; each trial starts from the original
    network. Where the error does not rise with the ratio throughout, the result is a ratio that
    keeps within the tolerance, not surely the largest. A ratio that `choose` refuses with an
    `ArgumentError`, though a smaller one was within the tolerance, is more than the layers can
    give: it is told and counts as one that was too high.

    Args:
        model: the trained network; it is copied and left as it is.
        choose, retrain, evaluate, batches, identity: as in `in_stages_`, with the index of the
            trial.
        granularity: of every trial, default "kernel".
        tolerance: how much `evaluate` may rise, default 0.01: one point.
        highest: ratio in (0, 1) above which nothing is tried, default 0.95.
        trials: halvings, default 5, which leave an interval of `highest / 32`.
        out: folder that keeps each trial; a bisection that was stopped goes on. Default none.
        progress: print the trials on standard error, default True.

    Raises:
        ArgumentError: an unknown granularity, `highest` out of (0, 1), `tolerance` below 0,
            `trials` below 1, or what `choose` refuses at any ratio.
        CheckpointError: `out` holds another run.
        OpenworkError: `evaluate` gives no finite number.

    Source: the paper's tolerance of one point in "Compact Deep CNNs With Coarse Pruning" (Anwar,
    Sung 2016); bisection is our reading.
    """
    check_count("trials", trials)
    check_choice("granularity", granularity, GRANULARITIES)
    check_number("highest", highest, "in (0, 1)", lambda value: 0 < value < 1)
    check_number("tolerance", tolerance, "of at least 0", lambda value: value >= 0)
    own = {"granularity": granularity, "tolerance": tolerance, "highest": highest}
    kept = Checkpoints(out, model, with_settings(own, identity))
    baseline = error_of(model, evaluate)
    best, ratio, error = copy.deepcopy(model), 0.0, baseline
    low, high = 0.0, highest
    results: list[StageResult] = []
    for index in range(trials):
        stage = Stage(granularity, (low + high) / 2)
        known = kept.result(index)
        # A trial of another ratio was decided by another measurement of an error before it.
        if known is None or known.ratio != stage.ratio:
            trial = copy.deepcopy(model)
            plan = _feasible(choose, trial, stage, index, low, progress)
            if plan is None:
                high = stage.ratio
                continue
            known = run_stage_(trial, stage, plan, evaluate, retrain, index, batches)
            kept.save(index, trial, known)
        else:
            trial = kept.restore_(index, copy.deepcopy(model))
        results.append(known)
        if known.retrained <= baseline + tolerance:
            best, ratio, error, low = trial, stage.ratio, known.retrained, stage.ratio
        else:
            high = stage.ratio
    result_table(results).print(console(progress))
    return LargestRatio(best, ratio, error, baseline, tuple(results))


def _feasible(
    choose: Choose, model: nn.Module, stage: Stage, index: int, low: float, progress: bool
) -> Plan | None:
    """What `choose` gives; None, and a word of it, if the ratio alone makes it impossible."""
    try:
        return choose(model, stage, index)
    except ArgumentError as error:
        # The same was possible at the ratio `low`, so that only the ratio can be wrong.
        if low == 0 or isinstance(error, PlanError):
            raise
        text = f"a ratio of {stage.ratio:.4g} counts as too high: {error}"
        console(progress).print(text, highlight=False, markup=False, soft_wrap=True)
        return None
