"""A stage: one cut with the retraining after it, and what it came to."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from openwork.nn import Plan
from openwork.prune.apply import apply_
from openwork.prune.recalibrate import recalibrate_

Evaluate = Callable[[nn.Module, float], float]
Retrain = Callable[[nn.Module, int], Any]


@dataclass(frozen=True)
class Stage:
    """What one stage cuts.

    Attributes:
        granularity: as in `by_criterion`.
        ratio: share that goes, in [0, 1).
        of: "live" (default) or "all", as in `by_criterion`.
    """

    granularity: str
    ratio: float
    of: str = "live"


@dataclass(frozen=True)
class StageResult:
    """What one cut came to. Errors are what `evaluate` returned on all of its data.

    Attributes:
        granularity, ratio: of the cut.
        parameters: of the network after it.
        cut: error right after the cut.
        recalibrated: error after batch normalisation was measured anew, or None.
        retrained: error after retraining.
    """

    granularity: str
    ratio: float
    parameters: int
    cut: float
    recalibrated: float | None
    retrained: float


def run_stage_(
    model: nn.Module,
    stage: Stage,
    plan: Plan,
    evaluate: Evaluate,
    retrain: Retrain,
    index: int,
    batches: Iterable[Any] | None,
) -> StageResult:
    """Cut `model` as `plan` says, recalibrate it if `batches` are given, and retrain it."""
    apply_(model, plan)
    cut = float(evaluate(model, 1.0))
    recalibrated = None
    if batches is not None:
        recalibrated = float(evaluate(recalibrate_(model, batches), 1.0))
    retrain(model, index)
    return StageResult(
        granularity=stage.granularity,
        ratio=stage.ratio,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        cut=cut,
        recalibrated=recalibrated,
        retrained=float(evaluate(model, 1.0)),
    )
