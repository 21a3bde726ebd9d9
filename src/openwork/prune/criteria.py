"""How much a unit matters: criteria by name, each a function to scores, high where it matters."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from openwork._mode import evaluation
from openwork.errors import ArgumentError
from openwork.patterns.keys import stream
from openwork.prune.units.units import Cells, Units

Loss = Callable[[Any, Any], torch.Tensor]
# Scores of whole filters, which kernels and taps do not have.
OF_MAPS = ("bn_gamma", "fpgm")


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a criterion may look at.

    Attributes:
        model: the trained network.
        batches: (inputs, targets, ...) tuples, or None.
        loss: (outputs, targets) -> scalar, or None.
        seed: of the criterion "random".
    """

    model: nn.Module
    batches: Iterable[Sequence[Any]] | None = None
    loss: Loss | None = None
    seed: int = 0


def l1(units: Units, evidence: Evidence) -> list[np.ndarray]:
    """Sum of absolute weights (Li et al. 2016), the criterion that the paper compares with."""
    return units.sums({n: np.abs(w) for n, w in _weights(units).items()})


def l2(units: Units, evidence: Evidence) -> list[np.ndarray]:
    """Sum of squared weights."""
    return units.sums({n: np.square(w) for n, w in _weights(units).items()})


def taylor(units: Units, evidence: Evidence) -> list[np.ndarray]:
    """Squared change of the loss to first order if the unit goes, mean over the batches.

    Source: "Importance Estimation for Neural Network Pruning" (Molchanov et al. 2019), the joint
    form: gradient times weight is added up over the unit before it is squared.
    """
    batches, loss = _checked(evidence)
    layers = [units.layers[name] for name in units.chosen]
    weights = [layer.module.weight for layer in layers]
    frozen = [layer.name for layer in layers if not layer.module.weight.requires_grad]
    if frozen:
        raise ArgumentError(
            f"`criterion`='taylor' needs gradients, but the weights of {', '.join(frozen)} are "
            "frozen; call requires_grad_(True) on them, or leave them out with `layers`"
        )
    totals = [np.zeros(shape) for shape in units.shapes]
    count = 0
    with evaluation(evidence.model), torch.enable_grad():
        for batch in batches:
            inputs, targets = _pair(batch)
            value = _scalar(loss(evidence.model(inputs), targets))
            # What the loss does not depend on changes nothing when it goes.
            gradients = torch.autograd.grad(
                value, weights, allow_unused=True, materialize_grads=True
            )
            pairs = zip(layers, weights, gradients, strict=True)
            change = units.sums({layer.name: layer.dense(w * g) for layer, w, g in pairs})
            totals = [total + np.square(c) for total, c in zip(totals, change, strict=True)]
            count += 1
    if not count:
        raise ArgumentError("`batches` is empty; `criterion`='taylor' needs at least one batch")
    return [total / count for total in totals]


def _checked(evidence: Evidence) -> tuple[Iterable[Sequence[Any]], Loss]:
    missing = [name for name in ("batches", "loss") if getattr(evidence, name) is None]
    if evidence.batches is None or evidence.loss is None:
        raise ArgumentError(
            f"{' and '.join(f'`{name}`=None' for name in missing)}: `criterion`='taylor' needs "
            "`batches`, (inputs, targets) tuples, and `loss`, a function (outputs, targets) -> "
            "scalar"
        )
    if isinstance(evidence.batches, torch.Tensor):
        raise ArgumentError(
            f"`batches` is a tensor of shape {tuple(evidence.batches.shape)}, but must hold "
            "(inputs, targets) tuples; for one batch pass [(inputs, targets)]"
        )
    if torch.is_inference_mode_enabled():
        raise ArgumentError(
            "`criterion`='taylor' needs gradients, which torch.inference_mode() takes away; call "
            "it outside"
        )
    return evidence.batches, evidence.loss


def _pair(batch: Any) -> tuple[Any, Any]:
    if not isinstance(batch, tuple | list) or len(batch) < 2:
        size = f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
        raise ArgumentError(
            f"`batches` holds a {type(batch).__name__}{size}, but must hold (inputs, targets) "
            "tuples"
        )
    return batch[0], batch[1]


def _scalar(value: Any) -> torch.Tensor:
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        what = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)
        raise ArgumentError(f"`loss` returned {what}, but must return a scalar; take its mean")
    if not value.requires_grad:
        raise ArgumentError(
            "`loss` returned a scalar that has no gradient; compute it from the outputs with torch"
        )
    return value


def bn_gamma(units: Units, evidence: Evidence) -> list[np.ndarray]:
    """Absolute scale of the batch normalisation behind the map ("Network Slimming", 2017)."""
    cells = cast(Cells, units)
    size = sum(group.count for group in cells.groups)
    scores, seen = np.zeros(size), np.zeros(size, dtype=bool)
    for scale, owner in cells.norms:
        owned = owner >= 0
        np.add.at(scores, owner[owned], np.abs(scale[owned]))
        seen[owner[owned]] = True
    for group, normed in zip(cells.groups, cells.split(seen), strict=True):
        if not normed.all():
            raise ArgumentError(
                f"`criterion`='bn_gamma' needs a batch normalisation with a scale behind "
                f"{group.name}; choose another criterion, or leave the layer out with `layers`"
            )
    return cells.split(scores)


def fpgm(units: Units, evidence: Evidence) -> list[np.ndarray]:
    """Distance of a filter to all others of its layer: the most replaceable filter goes first.

    Source: "Filter Pruning via Geometric Median" (He et al. 2019).
    """
    cells = cast(Cells, units)
    total = np.zeros(sum(group.count for group in cells.groups))
    for name, weight in _weights(units).items():
        owner = cells.owner[name][:, 0]
        owned = np.flatnonzero(owner >= 0)
        filters = torch.from_numpy(weight.reshape(len(weight), -1)[owned])
        distances = torch.cdist(filters, filters).sum(1).numpy()
        np.add.at(total, owner[owned], distances)
    return cells.split(total)


def random(units: Units, evidence: Evidence) -> list[np.ndarray]:
    """Nothing: each unit's score is drawn."""
    return drawn(units, evidence.seed, 0)


def drawn(units: Units, seed: int, candidate: int) -> list[np.ndarray]:
    """Random scores in [0, 2**53): those of one candidate, the same on every platform."""
    purpose = f"prune {candidate}"
    bits = stream(seed, purpose)
    sizes = [(shape, int(np.prod(shape))) for shape in units.shapes]
    # Whole numbers of 53 bits are exact in float64.
    return [(bits.random_raw(n) >> 11).astype(np.float64).reshape(shape) for shape, n in sizes]


CRITERIA: dict[str, Callable[[Units, Evidence], list[np.ndarray]]] = {
    "l1": l1,
    "l2": l2,
    "taylor": taylor,
    "bn_gamma": bn_gamma,
    "fpgm": fpgm,
    "random": random,
}


def _weights(units: Units) -> dict[str, np.ndarray]:
    layers = {name: units.layers[name] for name in units.chosen}
    return {name: layer.dense(layer.module.weight) for name, layer in layers.items()}
