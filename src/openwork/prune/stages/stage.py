"""A stage: one cut with the retraining after it, and its result."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from openwork._arguments import check_callable, check_choice, check_number
from openwork.nn import Plan
from openwork.nn.cost import live_weights
from openwork.prune.error_of import Evaluate, check_evaluate, error_of
from openwork.prune.recalibrate import recalibrate_
from openwork.prune.stages.apply import apply_
from openwork.prune.units.granularity import GRANULARITIES
from openwork.prune.units.units import SHARES

Choose = Callable[[nn.Module, "Stage", int], Plan]
Retrain = Callable[[nn.Module, int], Any]


@dataclass(frozen=True)
class Stage:
    """What one stage cuts.

    Attributes:
        granularity: as in `by_criterion`.
        ratio: share to remove, in [0, 1).
        of: "live" (default) or "all", as in `by_criterion`.

    Raises:
        ArgumentError: a value that is none of these.

    Examples:
        >>> Stage("kernel", 0.5)
        Stage(granularity='kernel', ratio=0.5, of='live')
    """

    granularity: str
    ratio: float
    of: str = "live"

    def __post_init__(self) -> None:
        check_choice("granularity", self.granularity, GRANULARITIES)
        ratio = check_number("ratio", self.ratio, "in [0, 1)", lambda ratio: 0 <= ratio < 1)
        object.__setattr__(self, "ratio", ratio)
        check_choice("of", self.of, SHARES)


@dataclass(frozen=True)
class StageResult:
    """The result of one stage. Errors are what `evaluate` returned on all of its data.

    Attributes:
        granularity, ratio: what was cut.
        parameters: number of parameters of the network after the cut.
        cut: error right after the cut.
        recalibrated: error after batch normalisation was measured again, or None.
        retrained: error after retraining.
    """

    granularity: str
    ratio: float
    parameters: int
    cut: float
    recalibrated: float | None
    retrained: float


def check_steps(choose: Any, retrain: Any, evaluate: Any) -> None:
    """Refuse what cannot be called as `Choose`, `Retrain` and `Evaluate` are, before any cut."""
    check_evaluate(evaluate)
    check_callable("choose", choose, "(model, stage, index) -> plan")
    check_callable("retrain", retrain, "(model, index)")


def run_stage_(
    model: nn.Module,
    stage: Stage,
    plan: Plan,
    evaluate: Evaluate,
    retrain: Retrain,
    index: int,
    batches: Iterable[Any] | None,
) -> StageResult:
    """Cut `model` as `plan` says, recalibrate it if `batches` are given, and retrain it.

    Raises:
        OpenworkError: `evaluate` does not return a finite number.
    """
    apply_(model, plan)
    cut = error_of(model, evaluate, what="the cut network")
    recalibrated = None
    if batches is not None:
        recalibrate_(model, batches)
        recalibrated = error_of(model, evaluate, what="the recalibrated network")
    retrain(model, index)
    return StageResult(
        granularity=stage.granularity,
        ratio=stage.ratio,
        parameters=live_weights(model),
        cut=cut,
        recalibrated=recalibrated,
        retrained=error_of(model, evaluate, what="the retrained network"),
    )
