"""What a cut leaves of the whole network, in parameters and in MACs."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import nn

from openwork.errors import ArgumentError
from openwork.nn.cost import live_weights
from openwork.prune.units.units import Units, rounded_down

Masks = Mapping[str, np.ndarray]


def parameters_left(model: nn.Module, units: Units, masks: Masks) -> tuple[int, int]:
    """Parameters of `model`, and those that `masks` (layer -> mask) leave of them."""
    weights = live_weights(model)
    return weights, weights - sum(_removed(units, masks).values())


def macs_left(macs: Mapping[str, int], units: Units, masks: Masks) -> tuple[int, int]:
    """The sum of `macs` (layer -> count), and what `masks` (layer -> mask) leave of it."""
    removed = _removed(units, masks)
    total = sum(macs.values())
    lost = (macs.get(name, 0) * gone // _live(units, name) for name, gone in removed.items())
    return total, total - sum(lost)


def _removed(units: Units, masks: Masks) -> dict[str, int]:
    return {n: int(layer.mask.sum() - masks[n].sum()) for n, layer in units.layers.items()}


def _live(units: Units, name: str) -> int:
    """Live weights of a layer, a divisor: 1 for a dead layer."""
    return max(1, int(units.layers[name].mask.sum()))


def ratio_that_leaves(
    what: str,
    share: float,
    units: Units,
    masks_at: Callable[[float], Masks],
    left: Callable[[Masks], tuple[int, int]],
    highest: float,
) -> float:
    """The smallest ratio that leaves at most `share` of the network.

    Args:
        what: the argument that asks for it, "macs" or "parameters".
        share: of the whole network.
        units: what is cut.
        masks_at: ratio -> the masks of the cut.
        left: masks -> (before, after) of the whole network.
        highest: the largest ratio.

    Raises:
        ArgumentError: the largest ratio leaves more.
    """

    def leaves(ratio: float) -> float:
        before, after = left(masks_at(ratio))
        return after / before

    if (least := leaves(highest)) > share:
        raise ArgumentError(
            f"`{what}`={share:g} cannot be reached: with a ratio of {rounded_down(highest)} of the "
            f"{units.noun} in {len(units.chosen)} layers, {least:.4g} is left of the network. Ask "
            "for more, or let more layers be cut with `layers`"
        )
    low, high = 0.0, highest
    # Finer than any unit.
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if leaves(middle) <= share else (middle, high)
    return 0.0 if leaves(0.0) <= share else high


def check_one_aim(aims: Mapping[str, object]) -> str:
    """The name of the only one of `aims` (argument -> value) that is given.

    Raises:
        ArgumentError: none, or several.
    """
    given = [name for name, value in aims.items() if value is not None]
    if len(given) != 1:
        names: Sequence[str] = [f"`{name}`" for name in aims]
        found = " and ".join(f"`{n}`={aims[n]!r}" for n in given) or "none of them"
        raise ArgumentError(
            f"exactly one of {', '.join(names[:-1])} and {names[-1]} says how much is cut; {found} "
            "is given"
        )
    return given[0]
