"""`sensitivity`: cut one layer at a time, and see how much the error rises."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from openwork._arguments import check_flag, check_model, check_seed
from openwork._identity import digest_of, with_settings
from openwork._mode import evaluation
from openwork._terminal import literal
from openwork._unchanged import unchanged
from openwork.errors import ArgumentError
from openwork.io.plain import plain
from openwork.nn import Plan
from openwork.prune.criteria import CRITERIA, CriterionInputs, check_criterion, check_finite
from openwork.prune.error_of import Evaluate, error_of
from openwork.prune.loss_gradients import Loss
from openwork.prune.report import console
from openwork.prune.search.masked import Masked
from openwork.prune.sensitivity_file import SensitivityFile
from openwork.prune.sensitivity_result import LayerSensitivity, Sensitivity
from openwork.prune.stages.recalibrate import recalibrate_
from openwork.prune.units.granularity import example_for, units_of
from openwork.prune.units.layers import Layers, plan_of
from openwork.prune.units.units import Units

__all__ = ["RATIOS"]

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def sensitivity(
    model: nn.Module,
    evaluate: Evaluate,
    granularity: str = "kernel",
    ratios: Sequence[float] = RATIOS,
    *,
    criterion: str = "l1",
    layers: Layers = None,
    block: tuple[int, int] = (4, 1),
    example: Any = None,
    batches: Iterable[Any] | None = None,
    loss: Loss | None = None,
    recalibrate: bool = False,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    identity: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Sensitivity:
    """Measure the error with one layer cut by each ratio, without retraining. Changes nothing.

    Tied layers, whose feature maps are removed together, are cut together. Weights are set to zero
    for the time of an evaluation and restored bit for bit; the model is not copied.

    Args:
        model: the trained network, dense or sparse.
        evaluate: called as `evaluate(model, 1.0)`, returns the error; lower is better, as for
            `search`. `prune.error_on` makes one.
        granularity: what is cut, as in `by_criterion`; default "kernel".
        ratios: shares of the layer to cut, in (0, 1), default 0.1 to 0.9. One that would leave
            nothing of a layer is skipped there.
        criterion: which parts are cut first, as in `by_criterion`; default "l1".
        layers, block, example, loss, seed: as in `by_criterion`.
        batches: training images `(N, ...)`, or tuples that begin with the network's inputs; for
            "taylor" and `recalibrate`.
        recalibrate: measure batch normalisation again over `batches` after each cut, as
            `recalibrate_` does; default False.
        out: folder that keeps each error as soon as it is measured, in `sensitivity.json`. A run
            that was stopped resumes from it. Default none.
        identity: what else determines the errors, such as the data of `evaluate`, as plain data; a
            folder of a run with another one is refused. Default nothing.
        progress: print a line for each layer on standard error, default True.

    Returns:
        The errors; print them, draw them with `picture(path)`, or make a plan of them with
        `Plan.from_sensitivity(result, loss=...)`.

    Raises:
        ArgumentError: a ratio outside (0, 1), `recalibrate` without `batches`, or as
            `by_criterion`.
        CheckpointError: `out` holds another run.
        OpenworkError: `evaluate` does not return a finite number; the folder keeps what there is.
        PlanError, CaptureError: as `by_criterion`.
    """
    check_criterion(criterion, granularity)
    check_seed(seed)
    check_model(model)
    check_flag("recalibrate", recalibrate)
    shares = _checked(ratios)
    held = None if batches is None else list(batches)
    if recalibrate and not held:
        raise ArgumentError("`recalibrate`=True needs `batches`, some images of the training")
    call = example_for(model, example)
    units = units_of(model, granularity, layers, block, call)
    scores = CRITERIA[criterion](units, CriterionInputs(model, held, loss, seed))
    trials = _Trials(model, evaluate, units, check_finite(scores, criterion))
    arguments = {
        "kind": "sensitivity",
        "model": digest_of(model),
        "granularity": granularity,
        "criterion": criterion,
        "layers": [list(group.layers) for group in units.groups],
        "block": [int(side) for side in block],
        "recalibrate": recalibrate,
        "seed": seed,
    }
    kept = SensitivityFile(out, plain("identity", with_settings(arguments, identity)))
    baseline = kept.get("baseline")
    if baseline is None:
        baseline = kept.add("baseline", error_of(model, evaluate))
    rows: list[LayerSensitivity] = []
    for item, (group, most) in enumerate(zip(units.groups, units.max_ratios("live"), strict=True)):
        errors: list[float | None] = []
        for ratio in shares:
            name = f"{item} {ratio!r}"
            error = kept.get(name)
            if error is None and ratio <= most:
                error = kept.add(name, trials.error(item, ratio, held if recalibrate else None))
            errors.append(error)
        rows.append(LayerSensitivity(group.layers, group.count, tuple(errors)))
        shown = ", ".join("-" if error is None else f"{error:.4g}" for error in errors)
        console(progress).print(literal(f"{group.name}: {shown}"), soft_wrap=True)
    return Sensitivity(
        granularity, criterion, shares, baseline, tuple(rows), recalibrate, trials.plan
    )


class _Trials:
    """Cuts of single layers in a network that is left as it was."""

    def __init__(
        self, model: nn.Module, evaluate: Evaluate, units: Units, scores: list[np.ndarray]
    ) -> None:
        self._model, self._evaluate = model, evaluate
        self._units, self._scores = units, scores
        self._masked = Masked(units.layers)

    def error(self, item: int, ratio: float, batches: list[Any] | None) -> float:
        """The error with group `item` cut by `ratio`, after recalibration on `batches` if given."""
        ratios = [0.0] * len(self._units.groups)
        ratios[item] = ratio
        masks = {
            name: mask
            for name, mask in self._units.masks(self._scores, ratios).items()
            if not np.array_equal(mask, self._units.layers[name].mask)
        }
        what = f"a cut of {ratio:.4g} of {self._units.groups[item].name}"
        with unchanged(self._model), evaluation(self._model), self._masked.trial(masks):
            if batches is not None:
                recalibrate_(self._model, batches)
            return error_of(self._model, self._evaluate, what=what)

    def plan(self, ratios: list[float]) -> Plan:
        """The plan that cuts each group by its ratio."""
        return plan_of(self._model, self._units.masks(self._scores, ratios))


def _checked(ratios: Any) -> tuple[float, ...]:
    try:
        shares = tuple(sorted({float(ratio) for ratio in ratios}))
    except (TypeError, ValueError):
        shares = ()
    if not shares or not all(0 < ratio < 1 for ratio in shares):
        raise ArgumentError(
            f"`ratios`={ratios!r} must be numbers in (0, 1), such as [0.25, 0.5, 0.75]"
        )
    return shares
