"""`sensitivity`: cut one layer at a time, and see how much the error rises."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from rich.text import Text
from torch import nn

from openwork._arguments import check_flag, check_open, check_seed
from openwork._identity import digest_of, with_settings
from openwork._terminal import literal
from openwork.cluster.tasks import Cluster
from openwork.errors import ArgumentError
from openwork.io.plain import plain
from openwork.prune.criteria import CRITERIA, CriterionInputs, check_criterion, check_finite
from openwork.prune.error_of import Evaluate, error_of
from openwork.prune.loss_gradients import Loss
from openwork.prune.report import console
from openwork.prune.search.masked_trial import MaskedTrial
from openwork.prune.sensitivity_file import SensitivityFile
from openwork.prune.sensitivity_result import LayerSensitivity, Sensitivity
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
    ray: str | None = None,
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
        ray: Ray cluster that measures the errors, each as a task, as in `search`. Default none.
        progress: print a line for each layer on standard error, default True.

    Returns:
        The errors; print them, draw them with `picture(path)`, or make a plan of them with
        `Plan.from_sensitivity(result, loss=...)`.

    Raises:
        ArgumentError: a ratio outside (0, 1), `recalibrate` without `batches`, no cluster is found
            or the network cannot be sent to it, or as `by_criterion`.
        CheckpointError: `out` holds another run.
        OpenworkError: `evaluate` does not return a finite number; the folder keeps what there is.
        PlanError, CaptureError: as `by_criterion`.
    """
    check_criterion(criterion, granularity)
    check_seed(seed)
    check_open(model)
    check_flag("recalibrate", recalibrate)
    shares = _checked(ratios)
    cluster = None if ray is None else Cluster(ray)
    held = None if batches is None else list(batches)
    if recalibrate and not held:
        raise ArgumentError("`recalibrate`=True needs `batches`, some images of the training")
    call = example_for(model, example)
    units = units_of(model, granularity, layers, block, call)
    scores = CRITERIA[criterion](units, CriterionInputs(model, held, loss, seed))
    check_finite(scores, criterion)
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
    cuts = _SingleCuts(units, scores, shares, kept)
    left = Counter(item for item, _ in cuts.waiting)
    printed = console(progress)
    for item in range(len(units.groups)):
        if not left[item]:
            printed.print(cuts.line(item), soft_wrap=True)
    trial = MaskedTrial(model, evaluate, units.layers, held if recalibrate else None)
    with cluster or nullcontext():
        for (item, ratio), error in cuts.measured(trial, cluster):
            kept.add(_key(item, ratio), error)
            left[item] -= 1
            if not left[item]:
                printed.print(cuts.line(item), soft_wrap=True)
    rows = tuple(map(cuts.row, range(len(units.groups))))
    return Sensitivity(
        granularity,
        criterion,
        shares,
        baseline,
        rows,
        recalibrate,
        lambda ratios: plan_of(model, units.masks(scores, ratios)),
    )


Cut = tuple[int, float]


class _SingleCuts:
    """The cuts of single layers, each the number of a group and a ratio.

    Attributes:
        waiting: those without an error in `kept`, in order.
    """

    def __init__(
        self,
        units: Units,
        scores: list[np.ndarray],
        ratios: Sequence[float],
        kept: SensitivityFile,
    ) -> None:
        self._units, self._scores, self._ratios, self._kept = units, scores, ratios, kept
        self.waiting: list[Cut] = [
            (item, ratio)
            for item, most in enumerate(units.max_ratios("live"))
            for ratio in ratios
            if ratio <= most and kept.get(_key(item, ratio)) is None
        ]

    def measured(self, trial: MaskedTrial, cluster: Cluster | None) -> Iterator[tuple[Cut, float]]:
        """The errors of those that wait, as they are measured: here, or by `cluster`."""
        calls = ((self._masks(cut), 1.0, self._name(cut)) for cut in self.waiting)
        if cluster is None:
            yield from zip(self.waiting, (trial.error(*call) for call in calls), strict=True)
            return
        gpus = int(trial.on_accelerator())
        for number, error in cluster.run(MaskedTrial.error, trial, calls, gpus=gpus):
            yield self.waiting[number], error

    def row(self, item: int) -> LayerSensitivity:
        """The errors of a group."""
        group = self._units.groups[item]
        errors = tuple(self._kept.get(_key(item, ratio)) for ratio in self._ratios)
        return LayerSensitivity(group.layers, group.count, errors)

    def line(self, item: int) -> Text:
        """The same for the terminal."""
        shown = ("-" if error is None else f"{error:.4g}" for error in self.row(item).errors)
        return literal(f"{self._units.groups[item].name}: {', '.join(shown)}")

    def _name(self, cut: Cut) -> str:
        return f"a cut of {cut[1]:.4g} of {self._units.groups[cut[0]].name}"

    def _masks(self, cut: Cut) -> dict[str, np.ndarray]:
        """The masks of the layers that a cut changes."""
        ratios = [0.0] * len(self._units.groups)
        ratios[cut[0]] = cut[1]
        return {
            name: mask
            for name, mask in self._units.masks(self._scores, ratios).items()
            if not np.array_equal(mask, self._units.layers[name].mask)
        }


def _key(item: int, ratio: float) -> str:
    """The name of a cut in `SensitivityFile`."""
    return f"{item} {ratio!r}"


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
