"""`in_stages_`: cut, retrain, cut again, retrain, as one call that can be stopped and resumed."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from openwork.errors import ArgumentError
from openwork.nn import Plan, Table
from openwork.prune.error_of import Evaluate
from openwork.prune.report import console
from openwork.prune.stages.checkpoints import Checkpoints, with_settings
from openwork.prune.stages.stage import Retrain, Stage, StageResult, run_stage_

# The paper's best recipe: feature maps to about a half, then kernels of the thinner network.
TWO_STAGES = (Stage("feature_map", 0.5), Stage("kernel", 0.7))

Choose = Callable[[nn.Module, Stage, int], Plan]


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
        model: the trained network; what was cut is no parameter of it any more.
        choose: `(model, stage, index of the stage)` -> plan; calls `search` or `by_criterion`
            with the stage's granularity, ratio and `of`.
        retrain: `(model, index of the stage)`; trains in place with an optimiser of its own, made
            anew: the parameters are other ones than before the cut.
        evaluate: as in `search`; called with a share of 1 after each step.
        stages: default `TWO_STAGES`.
        batches: training batches to measure batch normalisation anew with after each cut, as in
            `recalibrate_`; a list, since each stage reads it. None (default) leaves it.
        out: folder that keeps the network after each stage; a run that was stopped goes on from
            it, also with other stages than before after those that it finished. Default none.
        identity: what else decides the result, such as the criterion that `choose` goes by and the
            recipe of `retrain`, as plain data. It is kept in `out`, and what was begun with another
            one is refused. Default nothing.
        progress: print the errors of each stage on standard error, default True.

    Returns:
        One result a stage.

    Raises:
        ArgumentError: no stages, or `identity` is not plain data.
        CheckpointError: `out` holds another run.
        OpenworkError: `evaluate` gives no finite number.

    Source: Section 5 of "Compact Deep CNNs With Coarse Pruning" (Anwar, Sung 2016). The ratio of
    the second stage is our reading; the paper gives the share of both together.
    """
    if not stages or not all(isinstance(stage, Stage) for stage in stages):
        raise ArgumentError(
            f"`stages`={stages!r} must hold stages, at least one, such as Stage('kernel', 0.5)"
        )
    kept = Checkpoints(out, model, with_settings({}, identity), stages)
    results: list[StageResult] = []
    while len(results) < len(stages) and (known := kept.result(len(results))) is not None:
        results.append(known)
    if results:
        kept.restore_(len(results) - 1, model)
    for index in range(len(results), len(stages)):
        plan = choose(model, stages[index], index)
        result = run_stage_(model, stages[index], plan, evaluate, retrain, index, batches)
        kept.save(index, model, result)
        results.append(result)
    result_table(results).print(console(progress))
    return tuple(results)


def result_table(results: Sequence[StageResult]) -> Table:
    """One row a stage."""
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
