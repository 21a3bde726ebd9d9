"""`in_stages_`: cut, retrain, cut again, retrain, in one call that can be resumed."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from openwork._arguments import check_model
from openwork._identity import with_settings
from openwork.errors import ArgumentError
from openwork.nn import Table
from openwork.prune.error_of import Evaluate
from openwork.prune.report import console
from openwork.prune.stages.checkpoints import Checkpoints
from openwork.prune.stages.stage import Choose, Retrain, Stage, StageResult, check_steps, run_stage_

# The paper's best recipe: about half of the feature maps, then kernels of the thinner network.
TWO_STAGES = (Stage("feature_map", 0.5), Stage("kernel", 0.7))


def in_stages_(
    model: nn.Module,
    choose: Choose,
    retrain: Retrain,
    evaluate: Evaluate,
    *,
    stages: Sequence[Stage] = TWO_STAGES,
    batches: Iterable[Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    identity: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> tuple[StageResult, ...]:
    """Cut and retrain `model` stage by stage, in place.

    By default the paper's best recipe: half of the feature maps, retraining, 70 % of the kernels
    that are left, retraining. `in_steps` makes the stages of an iterative or gradual schedule.

    Args:
        model: the trained network; weights that are cut are no longer its parameters.
        choose: `(model, stage, index of the stage)` -> plan; calls `search` or `by_criterion`
            with the stage's granularity, ratio and `of`.
        retrain: `(model, index of the stage)`; trains in place, with a new optimiser: a cut
            replaces the parameters.
        evaluate: as in `search`; called with a share of 1 after each step.
        stages: default `TWO_STAGES`.
        batches: training batches, inputs (N, ...) or tuples that begin with them, to measure batch
            normalisation again after each cut, as in `recalibrate_`; a list, since each stage
            reads it. None (default) leaves the statistics as they are.
        out: folder that keeps the network after each stage. A run that was stopped resumes from
            it; the stages after the finished ones may have changed. Default none.
        identity: what else determines the result, such as the criterion that `choose` uses and the
            recipe of `retrain`, as plain data. It is kept in `out`, and a run that was started with
            another one is refused. Default nothing.
        progress: print the errors of each stage on standard error, default True.

    Returns:
        One result for each stage.

    Raises:
        ArgumentError: `choose`, `retrain` or `evaluate` cannot be called, no stages, or `identity`
            is not plain data.
        CheckpointError: `out` holds another run.
        OpenworkError: `evaluate` does not return a finite number.

    Source: Section 5 of "Compact Deep CNNs With Coarse Pruning" (Anwar, Sung 2016). The ratio of
    the second stage is our reading; the paper gives the share of both together.
    """
    check_model(model)
    check_steps(choose, retrain, evaluate)
    if not stages or not all(isinstance(stage, Stage) for stage in stages):
        raise ArgumentError(
            f"`stages`={stages!r} must hold stages, at least one, such as Stage('kernel', 0.5)"
        )
    checkpoints = Checkpoints(out, model, with_settings({}, identity), stages)
    results: list[StageResult] = []
    while len(results) < len(stages):
        finished = checkpoints.result(len(results))
        if finished is None:
            break
        results.append(finished)
    if results:
        checkpoints.restore_(len(results) - 1, model)
    for index in range(len(results), len(stages)):
        plan = choose(model, stages[index], index)
        result = run_stage_(model, stages[index], plan, evaluate, retrain, index, batches)
        checkpoints.save(index, model, result)
        results.append(result)
    result_table(results).print(console(progress))
    return tuple(results)


def result_table(results: Sequence[StageResult]) -> Table:
    """One row for each stage."""
    columns = ("stage", "ratio", "parameters", "error: cut", "recalibrated", "retrained")
    rows = tuple(
        (
            r.granularity,
            f"{r.ratio:.2%}",
            r.parameters,
            f"{r.cut:.2%}",
            "" if r.recalibrated is None else f"{r.recalibrated:.2%}",
            f"{r.retrained:.2%}",
        )
        for r in results
    )
    return Table(columns, rows)
