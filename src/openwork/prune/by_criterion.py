"""`by_criterion`: a plan that cuts what a criterion scores lowest."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from openwork._arguments import check_open, check_seed
from openwork.nn import Plan
from openwork.nn.kinds.masked import masks_as_patterns
from openwork.prune.aim import Aim, rounded
from openwork.prune.criteria import (
    CRITERIA,
    CriterionInputs,
    check_criterion,
    check_finite,
)
from openwork.prune.loss_gradients import Loss
from openwork.prune.report import Report
from openwork.prune.units.granularity import example_for, units_of
from openwork.prune.units.layers import Layers, plan_of
from openwork.prune.units.units import Units


def by_criterion(
    model: nn.Module,
    criterion: str = "l1",
    *,
    granularity: str = "kernel",
    ratio: float | Mapping[str, float] | None = None,
    macs: float | None = None,
    parameters: float | None = None,
    milliseconds: float | None = None,
    round_to: int = 1,
    scope: str = "layer",
    of: str = "live",
    layers: Layers = None,
    block: tuple[int, int] = (4, 1),
    example: Any = None,
    batches: Iterable[Sequence[Any]] | None = None,
    loss: Loss | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Plan:
    """Choose what to cut from a trained network by a score of each part. Changes nothing.

    Apply the plan with `prune.apply_(model, plan)`; on a dense model `sparsify_(model, plan,
    init="keep")` is the same.

    Args:
        model: the trained network, dense or sparse. Weights that masks of `torch.nn.utils.prune`
            leave out count as dead.
        criterion: "l1" (default) or "l2": sum of absolute or squared weights; "taylor": squared
            first-order change of the loss; "bn_gamma": scale of the batch normalisation after a
            map; "fpgm": distance to the other filters; "random". "bn_gamma" and "fpgm" apply to
            feature maps only.
        granularity: "feature_map": a map is removed with all kernels that produce it and all that
            read it, past a flatten too, and together with the maps that it is added to; "kernel"
            (default): single kh x kw kernels; "intra_kernel": strided taps, one mask for all
            kernels of a source map; "block": blocks of kernels.
        ratio: share of the maps, kernels, taps or blocks to remove, in [0, 1), rounded to whole
            ones. In sparse layers maps that are left without a kernel count as removed, and fewer
            are removed where a layer would end empty. A mapping from globs over layer names to
            ratios cuts the layers that one matches, by the last that does; tied layers have one
            ratio.
        macs, parameters: in place of `ratio`, the share of the whole network's multiply-adds or
            parameters that is left at most, in (0, 1]; the smallest ratio that does it is found.
        milliseconds: in place of `ratio`, what a call of the compiled network takes for `example`
            on this machine, within 5 %, with the number of threads that torch uses now. The
            network is cut and compiled at ten densities, which measures what each layer takes.
            From the largest ratios, the step that keeps most for its time is taken until the time
            is spent; then the whole network is measured, and the ratios corrected. In scope
            "layer" a layer's kept share of its score counts, in scope "global" the score.
        round_to: the number of feature maps left in a layer that is cut is a multiple of this,
            the nearest one; default 1.
        scope: "layer" (default): the share of each layer; "global": of all chosen layers
            together, where "l1" and "l2" score a part by the mean over its weights.
        of: "live" (default): the share of what lives now; "all": of what the dense layers have.
        layers: a glob or several as in a `Plan`, or a predicate `(name, module) -> bool`; by
            default every convolution but the first and the heads, which no other layer reads.
            Without an `example` the last layer in the order of the modules counts as the head.
        block: (filters, inputs) of a block, default (4, 1).
        example: an input batch `(N, ...)`, or several inputs as in `openwork.compile`, to see where
            the network begins and ends, to follow maps through it and to count MACs; not needed
            for a model of `openwork.models`.
        batches: for "taylor": (inputs, targets, ...) tuples; several inputs are a tuple or a dict.
        loss: for "taylor": (outputs, targets) -> scalar, such as `F.cross_entropy`.
        seed: for "random", whole number >= 0, default 0.
        progress: print the feasible range before the cut and its table afterwards on standard
            error, default True.

    Returns:
        Explicit patterns for every layer that is cut, and for those that were sparse already. Each
        has the shape of the layer's dense weight, `(out, in / groups, kh, kw)` or `(out, in)`.

    Raises:
        PlanError: `layers` selects no layer.
        ArgumentError: a ratio outside the feasible range, which is named, a network that cannot be
            as small or fast, or another argument that breaks its rule.
        OpenworkError: the times vary too much to come within 5 % of `milliseconds`.
        CaptureError: feature maps of a network that torch.export cannot capture; cut kernels.

    Examples:
        >>> from openwork import prune
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
        >>> plan = prune.by_criterion(model, "l1", ratio=0.75, layers="2", progress=False)
        >>> len(plan.layers["2"].connections)  # of 4 * 8 kernels
        8
    """
    check_criterion(criterion, granularity)
    check_seed(seed)
    check_open(model)
    aim = Aim(ratio, macs, parameters, milliseconds, scope, of)
    aim.check(model, example)
    with masks_as_patterns(model):
        call = example_for(model, example)
        units = rounded(units_of(model, granularity, layers, block, call), granularity, round_to)
        aim.begin(units)
        report = Report(model, units, call, progress)
        report.begin(aim.words, scope, of)
        scores = CRITERIA[criterion](units, CriterionInputs(model, batches, loss, seed))
        if scope == "global" and criterion in ("l1", "l2"):
            scores = _means(units, scores)
        chosen = aim.ratio_for(model, units, check_finite(scores, criterion), call, report)
        masks = units.masks(scores, chosen, scope, of)
        report.end(masks, chosen if isinstance(chosen, float) else None, of)
        return plan_of(model, masks)


def _means(units: Units, scores: list[np.ndarray]) -> list[np.ndarray]:
    """Turn sums over weights into means: many weights alone do not make a filter important."""
    weights = units.aggregate({n: units.layers[n].mask.astype(np.float64) for n in units.chosen})
    return [score / weight for score, weight in zip(scores, weights, strict=True)]
