"""`largest_ratio`: how much can be cut within a tolerance of the error, found by bisection."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from openwork._arguments import check_choice, check_count, check_model, check_number
from openwork._copy import copied
from openwork._identity import with_settings
from openwork._terminal import literal
from openwork.errors import ArgumentError, PlanError
from openwork.nn import Plan
from openwork.prune.error_of import Evaluate, error_of
from openwork.prune.report import console
from openwork.prune.stages.checkpoints import Checkpoints
from openwork.prune.stages.in_stages import result_table
from openwork.prune.stages.stage import Choose, Retrain, Stage, StageResult, check_steps, run_stage_
from openwork.prune.units.granularity import GRANULARITIES


@dataclass(frozen=True, eq=False)
class LargestRatio:
    """The result of a bisection.

    Attributes:
        model: the most pruned network within the tolerance, retrained; a copy of the original if
            there is none.
        ratio: its ratio, 0 for the original.
        error: its error.
        baseline: error of the original.
        trials: the result of every ratio that was cut, in order.
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
    """Find the largest ratio at which the retrained network's error rises by at most `tolerance`.

    The interval from 0 to `highest` is halved `trials` times; each trial starts from the original
    network. If the error does not rise steadily with the ratio, the result is within the tolerance
    but may not be the largest such ratio. If `choose` refuses a ratio with an `ArgumentError`
    after a smaller one was within the tolerance, the layers cannot give that much: a message says
    so, and the ratio counts as too high.

    Args:
        model: the trained network; it is copied, not changed.
        choose, retrain, evaluate, batches, identity: as in `in_stages_`, with the index of the
            trial.
        granularity: what every trial cuts, default "kernel".
        tolerance: how much `evaluate` may rise, default 0.01: one point.
        highest: the largest ratio to consider, in (0, 1), default 0.95.
        trials: number of halvings, default 5, which leave an interval of `highest / 32`.
        out: folder that keeps each trial; a bisection that was stopped resumes. Default none.
        progress: print the trials on standard error, default True.

    Raises:
        ArgumentError: an unknown granularity, `highest` outside (0, 1), `tolerance` below 0,
            `trials` below 1, or what `choose` refuses at any ratio.
        CheckpointError: `out` holds another run.
        OpenworkError: `evaluate` does not return a finite number.

    Source: the paper's tolerance of one point in "Compact Deep CNNs With Coarse Pruning" (Anwar,
    Sung 2016); bisection is our reading.
    """
    check_model(model)
    check_steps(choose, retrain, evaluate)
    check_count("trials", trials)
    check_choice("granularity", granularity, GRANULARITIES)
    check_number("highest", highest, "in (0, 1)", lambda value: 0 < value < 1)
    check_number("tolerance", tolerance, "of at least 0", lambda value: value >= 0)
    arguments = {"granularity": granularity, "tolerance": tolerance, "highest": highest}
    checkpoints = Checkpoints(out, model, with_settings(arguments, identity))
    baseline = error_of(model, evaluate)
    best, ratio, error = copied(model), 0.0, baseline
    low, high = 0.0, highest
    results: list[StageResult] = []
    for index in range(trials):
        stage = Stage(granularity, (low + high) / 2)
        result = checkpoints.result(index)
        # A stored trial of another ratio followed from errors that were measured differently.
        if result is None or result.ratio != stage.ratio:
            trial = copied(model)
            plan = _feasible(choose, trial, stage, index, low, progress)
            if plan is None:
                high = stage.ratio
                continue
            result = run_stage_(trial, stage, plan, evaluate, retrain, index, batches)
            checkpoints.save(index, trial, result)
        else:
            trial = checkpoints.restore_(index, copied(model))
        results.append(result)
        if result.retrained <= baseline + tolerance:
            best, ratio, error, low = trial, stage.ratio, result.retrained, stage.ratio
        else:
            high = stage.ratio
    result_table(results).print(console(progress))
    return LargestRatio(best, ratio, error, baseline, tuple(results))


def _feasible(
    choose: Choose, model: nn.Module, stage: Stage, index: int, low: float, progress: bool
) -> Plan | None:
    """The plan that `choose` returns; None, and a message, if the ratio is too high for it."""
    try:
        return choose(model, stage, index)
    except ArgumentError as error:
        # `choose` accepted the ratio `low`, so only the ratio can be wrong.
        if low == 0 or isinstance(error, PlanError):
            raise
        text = f"a ratio of {stage.ratio:.4g} counts as too high: {error}"
        console(progress).print(literal(text), soft_wrap=True)
        return None
