"""`by_criterion`: the plan that cuts what a criterion finds least important."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from openwork._arguments import check_choice, check_seed
from openwork.errors import ArgumentError
from openwork.nn import Plan
from openwork.prune.criteria import CRITERIA, OF_MAPS, Evidence, Loss
from openwork.prune.report import Report
from openwork.prune.units.granularity import example_for, units_of
from openwork.prune.units.layers import Layers, plan_of
from openwork.prune.units.units import Units


def by_criterion(
    model: nn.Module,
    criterion: str = "l1",
    *,
    granularity: str = "kernel",
    ratio: float,
    scope: str = "layer",
    of: str = "live",
    layers: Layers = None,
    block: tuple[int, int] = (4, 1),
    example: torch.Tensor | None = None,
    batches: Iterable[Sequence[Any]] | None = None,
    loss: Loss | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Plan:
    """Choose what can go from a trained network by a score of each part. Changes nothing.

    Apply the plan with `prune.apply_(model, plan)`; on a dense model `sparsify_(model, plan,
    init="keep")` is the same.

    Args:
        model: the trained network, dense or sparse.
        criterion: "l1" (default) or "l2": sum of absolute or squared weights; "taylor": squared
            first-order change of the loss; "bn_gamma": scale of the batch normalisation behind a
            map; "fpgm": distance to the other filters; "random". "bn_gamma" and "fpgm" go with
            feature maps only.
        granularity: "feature_map": a map goes with all kernels that make it and all that read it,
            past a flatten too, and together with the maps that it is added to; "kernel"
            (default): single kh x kw kernels; "intra_kernel": strided taps, one mask for all
            kernels of a source map; "block": blocks of kernels.
        ratio: share of the maps, kernels, taps or blocks that goes, in [0, 1); met to half a one.
            In sparse layers maps that are left without a kernel count as gone, and fewer go where
            a layer would end empty.
        scope: "layer" (default): the share of each layer; "global": of all chosen layers
            together, by means over the weights of a part for "l1" and "l2".
        of: "live" (default): the share of what lives now; "all": of what the dense layers have.
        layers: a glob or several as in a `Plan`, or a predicate `(name, module) -> bool`; by
            default every convolution but the first and the heads, which no other layer reads.
            Without an `example` the last layer in the order of the modules counts as the head.
        block: (filters, inputs) of a block, default (4, 1).
        example: an input batch `(N, ...)`, to see where the network begins and ends, to follow
            maps through it and to count MACs; a model of `openwork.models` brings its own.
        batches: for "taylor": (inputs, targets, ...) tuples.
        loss: for "taylor": (outputs, targets) -> scalar, such as `F.cross_entropy`.
        seed: of "random", whole number >= 0, default 0.
        progress: print the feasible range first and the table of the cut after it on standard
            error, default True.

    Returns:
        Explicit patterns for every layer that is cut, and for those that were sparse already.

    Raises:
        PlanError: `layers` means no layer.
        ArgumentError: a ratio out of the feasible range, which is named, or another argument that
            breaks its rule.
        CaptureError: feature maps of a network that torch.export cannot capture; cut kernels.
    """
    check_choice("criterion", criterion, tuple(CRITERIA))
    check_seed(seed)
    if criterion in OF_MAPS and granularity != "feature_map":
        raise ArgumentError(
            f"`criterion`={criterion!r} scores feature maps, not `granularity`={granularity!r}; "
            "use 'l1', 'l2', 'taylor' or 'random'"
        )
    example = example_for(model, example)
    units = units_of(model, granularity, layers, block, example)
    units.check_ratio(ratio, scope, of)
    ratio = float(ratio)
    report = Report(model, units, example, progress)
    report.begin(ratio, scope, of)
    scores = CRITERIA[criterion](units, Evidence(model, batches, loss, seed))
    if scope == "global" and criterion in ("l1", "l2"):
        scores = _means(units, scores)
    taps = units.masks(_finite(scores, criterion), ratio, scope, of)
    report.end(taps, ratio, of)
    return plan_of(model, taps)


def _means(units: Units, scores: list[np.ndarray]) -> list[np.ndarray]:
    """Sums over weights as means: a filter of many weights is not better for that alone."""
    weights = units.sums({n: units.layers[n].taps.astype(np.float64) for n in units.chosen})
    return [score / weight for score, weight in zip(scores, weights, strict=True)]


def _finite(scores: list[np.ndarray], criterion: str) -> list[np.ndarray]:
    if not all(np.isfinite(score).all() for score in scores):
        raise ArgumentError(
            f"`criterion`={criterion!r} finds NaN or infinity in the weights or gradients; repair "
            "the network first"
        )
    return scores
