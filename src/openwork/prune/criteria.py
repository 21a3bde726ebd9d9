"""Which units matter? Criteria by name: each one scores units, high where they matter."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from openwork._call import call_of
from openwork._mode import evaluation
from openwork.errors import ArgumentError
from openwork.patterns.keys import stream
from openwork.prune.units.units import ConnectionUnits, Units

__all__ = ["CRITERIA"]

Loss = Callable[[Any, Any], torch.Tensor]
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
    batches, loss = _checked(inputs)
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
    with evaluation(inputs.model), torch.enable_grad():
        for batch in batches:
            images, targets = _pair(batch)
            outputs = call_of(inputs.model, images, "batches").run(inputs.model)
            value = _scalar(_loss(loss, outputs, targets))
            # Weights that the loss does not depend on have a gradient of zero.
            gradients = torch.autograd.grad(
                value, weights, allow_unused=True, materialize_grads=True
            )
            triples = zip(layers, weights, gradients, strict=True)
            change = units.aggregate({layer.name: layer.dense(w * g) for layer, w, g in triples})
            totals = [total + np.square(c) for total, c in zip(totals, change, strict=True)]
            count += 1
    if not count:
        raise ArgumentError("`batches` is empty; `criterion`='taylor' needs at least one batch")
    return [total / count for total in totals]


def _checked(inputs: CriterionInputs) -> tuple[Iterable[Sequence[Any]], Loss]:
    missing = [name for name in ("batches", "loss") if getattr(inputs, name) is None]
    if inputs.batches is None or inputs.loss is None:
        raise ArgumentError(
            f"{' and '.join(f'`{name}`=None' for name in missing)}: `criterion`='taylor' needs "
            "`batches`, (inputs, targets) tuples, and `loss`, a function (outputs, targets) -> "
            "scalar"
        )
    if isinstance(inputs.batches, torch.Tensor):
        raise ArgumentError(
            f"`batches` is a tensor of shape {tuple(inputs.batches.shape)}, but must hold "
            "(inputs, targets) tuples; for one batch pass [(inputs, targets)]"
        )
    if torch.is_inference_mode_enabled():
        raise ArgumentError(
            "`criterion`='taylor' needs gradients, which torch.inference_mode() turns off; call "
            "it outside"
        )
    return inputs.batches, inputs.loss


def _pair(batch: Any) -> tuple[Any, Any]:
    if not isinstance(batch, tuple | list) or len(batch) < 2:
        size = f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
        raise ArgumentError(
            f"`batches` holds a {type(batch).__name__}{size}, but must hold (inputs, targets) "
            "tuples"
        )
    return batch[0], batch[1]


def _loss(loss: Loss, outputs: Any, targets: Any) -> torch.Tensor:
    try:
        return loss(outputs, targets)
    except IndexError as error:
        # What torch raises for labels beyond the outputs.
        raise ArgumentError(
            f"`loss` raises IndexError: {error}; the labels in `batches` must be below the number "
            "of the network's outputs"
        ) from error


def _scalar(value: Any) -> torch.Tensor:
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        what = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)
        raise ArgumentError(f"`loss` returned {what}, but must return a scalar; take its mean")
    if not value.requires_grad:
        raise ArgumentError(
            "`loss` returned a scalar that has no gradient; compute it from the outputs with torch"
        )
    return value


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
