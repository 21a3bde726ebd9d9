"""`at_init`: a plan made before training, from what the untrained weights and gradients say."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import nn

from openwork._arguments import check_choice, check_count, check_density, check_open
from openwork._copy import copied
from openwork._unchanged import unchanged
from openwork.errors import ArgumentError
from openwork.nn import Plan
from openwork.nn.kinds.masked import masks_as_patterns
from openwork.prune.criteria import check_finite
from openwork.prune.criteria_at_init import CRITERIA_AT_INIT, Trial
from openwork.prune.loss_gradients import Loss
from openwork.prune.report import Report
from openwork.prune.units.granularity import example_for, units_of
from openwork.prune.units.layers import Layers, plan_of

_ROUNDS = {"snip": 1, "grasp": 1, "synflow": 100}


def at_init(
    model: nn.Module,
    batches: Iterable[Sequence[Any]] | None = None,
    criterion: str = "snip",
    *,
    granularity: str = "kernel",
    density: float,
    scope: str = "global",
    layers: Layers = None,
    block: tuple[int, int] = (4, 1),
    loss: Loss | None = None,
    rounds: int | None = None,
    example: Any = None,
    progress: bool = True,
) -> Plan:
    """Choose before training what to keep, by a score of each part. Changes nothing.

    Apply the plan with `sparsify_(model, plan, init="keep")`: the scores were those of the present
    weights. The criteria were published for single weights. A kernel, map or block counts here as
    if one gate multiplied all its weights, so its score is the sum over them.

    Args:
        model: the untrained network, dense or sparse.
        batches: (inputs, targets, ...) tuples, some images of each class; all of them are held in
            memory. "synflow" needs none, and takes the size of the images from the first.
        criterion: "snip" (default): how much the loss reacts to the part, the absolute value of
            gradient times weight (Lee et al. 2019); "grasp": how much the gradients' norm would
            shrink without it (Wang et al. 2020); "synflow": the flow through it where all weights
            are made positive and all inputs are one, pruned in `rounds` (Tanaka et al. 2020).
        granularity: "kernel" (default), "feature_map", "intra_kernel" or "block", as in
            `by_criterion`.
        density: share of the parts of the dense layers to keep, in (0, 1].
        scope: "global" (default, as published): of all chosen layers together; "layer": of each,
            which is the only one for "intra_kernel".
        layers: as in `by_criterion`; by default every convolution but the first and the heads.
        block: (filters, inputs) of a block, default (4, 1).
        loss: (outputs, targets) -> scalar; default the cross-entropy, for "grasp" of the outputs
            divided by 200, as in its authors' code.
        rounds: how often parts are scored and cut, at densities that fall exponentially; default
            100 for "synflow", as published, and 1 for "snip". "grasp" takes 1 only.
        example: an input batch `(N, ...)` to follow maps through the network and to see where it
            begins and ends; default the inputs of the first batch.
        progress: print the feasible range before the cut and its table afterwards on standard
            error, default True.

    Returns:
        Explicit patterns for every chosen layer, each of the shape of the layer's dense weight,
        `(out, in / groups, kh, kw)` or `(out, in)`.

    Raises:
        PlanError: `layers` selects no layer.
        ArgumentError: a density that leaves a layer empty, or another argument that breaks its
            rule.
        CaptureError: feature maps of a network that torch.export cannot capture.

    Examples:
        >>> import torch
        >>> from openwork import prune
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten())
        >>> batch = (torch.rand(2, 3, 5, 5), torch.tensor([0, 1]))
        >>> plan = prune.at_init(model, [batch], density=0.25, layers="2", progress=False)
        >>> len(plan.layers["2"].connections)  # of 4 * 8 kernels
        8
    """
    check_choice("criterion", criterion, tuple(CRITERIA_AT_INIT))
    density = check_density(density)
    rounds = _checked_rounds(criterion, rounds)
    check_open(model)
    held = None if batches is None else list(batches)
    if example is None and held and isinstance(held[0], tuple | list):
        example = held[0][0]
    with masks_as_patterns(model):
        # Scores need other modes, signs and zeros than the user's network has.
        copy = copied(model)
        example = example_for(copy, example)
        units = units_of(copy, granularity, layers, block, example)
        units.check_ratio(1 - density, scope, "all")
        report = Report(model, units, example, progress)
        report.begin(f"{1 - density:.4g}", scope, "all")
        trial = Trial(copy, units, held, loss, example)
        masks: dict[str, np.ndarray] = {}
        # The copy shares its classes, and what it cannot copy, with the original.
        with unchanged(model):
            for number in range(1, rounds + 1):
                scores = check_finite(CRITERIA_AT_INIT[criterion](trial), criterion)
                masks = units.masks(scores, 1 - density ** (number / rounds), scope, "all")
                trial.cut(masks)
        report.end(masks, 1 - density, "all")
        return plan_of(model, masks)


def _checked_rounds(criterion: str, rounds: int | None) -> int:
    if rounds is None:
        return _ROUNDS[criterion]
    check_count("rounds", rounds)
    if criterion == "grasp" and rounds > 1:
        raise ArgumentError(
            f"`rounds`={rounds} must be 1 for `criterion`='grasp': parts that are cut score 0, and "
            "others less; use 'snip' or 'synflow'"
        )
    return rounds
