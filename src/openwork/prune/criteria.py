"""Which units matter? Criteria by name: each one scores units, high where they matter."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from openwork._arguments import check_choice
from openwork._mode import evaluation
from openwork._unchanged import unchanged
from openwork.errors import ArgumentError
from openwork.patterns.keys import stream
from openwork.prune.loss_gradients import Loss, loss_gradients, times_weight
from openwork.prune.units.units import ConnectionUnits, Units

__all__ = ["CRITERIA"]

# These score whole filters, so they do not apply to kernels and taps.
FEATURE_MAP_CRITERIA = ("bn_gamma", "fpgm")


@dataclass(frozen=True, eq=False)
class CriterionInputs:
    """What a criterion may look at besides the units.

    Attributes:
        model: the trained network.
        batches: (inputs, targets, ...) tuples, or None.
        loss: (outputs, targets) -> scalar, or None.
        seed: for the criterion "random".
    """

    model: nn.Module
    batches: Iterable[Sequence[Any]] | None = None
    loss: Loss | None = None
    seed: int = 0


# Every criterion takes the units and these inputs, and returns one array of scores for each group
# of units, of the shapes `units.shapes`.


def l1(units: Units, inputs: CriterionInputs) -> list[np.ndarray]:
    """Sum of absolute weights (Li et al. 2016), the criterion that the paper compares with."""
    return units.aggregate({n: np.abs(w) for n, w in _weights(units).items()})


def l2(units: Units, inputs: CriterionInputs) -> list[np.ndarray]:
    """Sum of squared weights."""
    return units.aggregate({n: np.square(w) for n, w in _weights(units).items()})


def taylor(units: Units, inputs: CriterionInputs) -> list[np.ndarray]:
    """Squared first-order change of the loss if the unit is removed, mean over the batches.

    Source: "Importance Estimation for Neural Network Pruning" (Molchanov et al. 2019), the joint
    form: gradient times weight is added up over the unit before it is squared.
    """
    layers = [units.layers[name] for name in units.chosen]
    totals, count = [np.zeros(shape) for shape in units.shapes], 0
    with unchanged(inputs.model), evaluation(inputs.model):
        for gradients in loss_gradients(
            inputs.model, layers, inputs.batches, inputs.loss, "taylor"
        ):
            change = units.aggregate(times_weight(layers, gradients))
            totals = [total + np.square(c) for total, c in zip(totals, change, strict=True)]
            count += 1
    return [total / count for total in totals]


def bn_gamma(units: Units, inputs: CriterionInputs) -> list[np.ndarray]:
    """Absolute scale of the batch normalisation after the map ("Network Slimming", 2017)."""
    maps = cast(ConnectionUnits, units)
    size = sum(group.count for group in maps.groups)
    scores, normalised = np.zeros(size), np.zeros(size, dtype=bool)
    for scale, owner in maps.norms:
        owned = owner >= 0
        np.add.at(scores, owner[owned], np.abs(scale[owned]))
        normalised[owner[owned]] = True
    for group, with_norm in zip(maps.groups, maps.split(normalised), strict=True):
        if not with_norm.all():
            raise ArgumentError(
                f"`criterion`='bn_gamma' needs a batch normalisation with a scale behind "
                f"{group.name}; choose another criterion, or leave the layer out with `layers`"
            )
    return maps.split(scores)


def fpgm(units: Units, inputs: CriterionInputs) -> list[np.ndarray]:
    """Distance of a filter to all others of its layer: the most replaceable has the lowest score.

    Source: "Filter Pruning via Geometric Median" (He et al. 2019).
    """
    maps = cast(ConnectionUnits, units)
    total = np.zeros(sum(group.count for group in maps.groups))
    for name, weight in _weights(units).items():
        owner = maps.owner[name][:, 0]
        owned = np.flatnonzero(owner >= 0)
        filters = torch.from_numpy(weight.reshape(len(weight), -1)[owned])
        distances = torch.cdist(filters, filters).sum(1).numpy()
        np.add.at(total, owner[owned], distances)
    return maps.split(total)


def random(units: Units, inputs: CriterionInputs) -> list[np.ndarray]:
    """A score drawn for each unit, whatever its weights."""
    return drawn(units, inputs.seed, 0)


def drawn(units: Units, seed: int, candidate: int) -> list[np.ndarray]:
    """Random scores of one candidate, of `units.shapes`: the same on every platform.

    They are whole numbers in [0, 2**53), as float64.
    """
    purpose = f"prune {candidate}"
    bits = stream(seed, purpose)
    sizes = [(shape, int(np.prod(shape))) for shape in units.shapes]
    # Whole numbers of 53 bits are exact in float64.
    return [(bits.random_raw(n) >> 11).astype(np.float64).reshape(shape) for shape, n in sizes]


CRITERIA: dict[str, Callable[[Units, CriterionInputs], list[np.ndarray]]] = {
    "l1": l1,
    "l2": l2,
    "taylor": taylor,
    "bn_gamma": bn_gamma,
    "fpgm": fpgm,
    "random": random,
}


def _weights(units: Units) -> dict[str, np.ndarray]:
    """Layer -> its weights as a dense float64 array (out, in / groups, ...)."""
    layers = {name: units.layers[name] for name in units.chosen}
    return {name: layer.dense(layer.module.weight) for name, layer in layers.items()}


def check_criterion(criterion: str, granularity: str) -> None:
    """It is a criterion that scores the units of `granularity`.

    Raises:
        ArgumentError: it is not.
    """
    check_choice("criterion", criterion, tuple(CRITERIA))
    if criterion in FEATURE_MAP_CRITERIA and granularity != "feature_map":
        raise ArgumentError(
            f"`criterion`={criterion!r} scores feature maps, not `granularity`={granularity!r}; "
            "use 'l1', 'l2', 'taylor' or 'random'"
        )


def check_finite(scores: list[np.ndarray], criterion: str) -> list[np.ndarray]:
    """Refuse scores that are not numbers.

    Raises:
        ArgumentError: NaN or infinity among `scores`.
    """
    if not all(np.isfinite(score).all() for score in scores):
        raise ArgumentError(
            f"`criterion`={criterion!r} finds NaN or infinity in the weights or gradients; repair "
            "the network first"
        )
    return scores
