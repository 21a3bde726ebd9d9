"""A cut in milliseconds: ratios that keep most of the importance in the time asked for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from openwork._copy import copied
from openwork.nn.timing.clock import CompiledTimes, compiled_times
from openwork.nn.timing.in_time import DENSITIES, LayerCosts, in_time
from openwork.prune.stages.apply import apply_
from openwork.prune.units.layers import plan_of
from openwork.prune.units.units import ConnectionUnits, Units

# Shares of a group that a cut may choose from.
_LEVELS = 40


class _Cuts:
    """What may be left of each group, as `in_time.TimedChoices`.

    Args:
        units: what is cut.
        scores: an array for each group, of `units.shapes`.
        scope: "layer": what a group keeps is worth its share of the group's score; "global": its
            score.
        costs: what the layers take.
    """

    def __init__(
        self, units: Units, scores: Sequence[np.ndarray], scope: str, costs: LayerCosts
    ) -> None:
        self._tables, self._costs = _tables(units), costs
        self.ratios: list[np.ndarray] = []
        self.worth: list[np.ndarray] = []
        self._shares: list[np.ndarray] = []
        ladder = _ladder(units)
        left = np.array([units.kept(ratios, "live") for ratios in ladder.tolist()])
        for item, (group, score) in enumerate(zip(units.groups, scores, strict=True)):
            counts, first = np.unique(left[:, item], return_index=True)
            self.ratios.append(ladder[first, item])
            self._shares.append(counts / group.count)
            self.worth.append(_worth(score, counts / group.count, scope))
        self._layers = [
            [name for name, table in self._tables.items() if table[i].any() or table[:, i].any()]
            for i in range(len(scores))
        ]
        self._touched = [
            [j for j, others in enumerate(self._layers) if not set(others).isdisjoint(own)]
            for own in self._layers
        ]

    def seconds(self, levels: Sequence[int], item: int) -> np.ndarray:
        others, own = self._kept(levels), self._shares[item]
        others[item] = 0
        total = np.zeros(len(own))
        for name in self._layers[item]:
            table = self._tables[name]
            # The density is a polynomial in the share that is left of the item.
            linear = table[item] @ others + others @ table[:, item]
            density = others @ table @ others + linear * own + table[item, item] * own**2
            total += self._costs.seconds(name, density)
        return total

    def touched(self, item: int) -> Sequence[int]:
        return self._touched[item]

    def densities(self, levels: Sequence[int]) -> dict[str, float]:
        """The density expected of each layer."""
        kept = self._kept(levels)
        return {name: float(kept @ table @ kept) for name, table in self._tables.items()}

    def at(self, levels: Sequence[int]) -> list[float]:
        """The ratio of each group."""
        return [float(r[level]) for r, level in zip(self.ratios, levels, strict=True)]

    def _kept(self, levels: Sequence[int]) -> np.ndarray:
        # What belongs to no group is kept.
        kept = [shares[level] for shares, level in zip(self._shares, levels, strict=True)]
        return np.array([*kept, 1.0])


def ratios_in_time(
    model: nn.Module,
    units: Units,
    scores: Sequence[np.ndarray],
    scope: str,
    milliseconds: float,
    example: Any,
) -> tuple[list[float], float]:
    """The ratio of each group for a compiled network that takes so many milliseconds.

    Args:
        model: the network; it is not changed.
        units: what is cut.
        scores: an array for each group, of `units.shapes`.
        scope: whether shares of a layer's score count, or scores.
        milliseconds: of one call.
        example: an input batch (N, ...).

    Returns:
        The ratios, and the milliseconds measured.

    Raises:
        ArgumentError, OpenworkError: as `in_time`.
    """

    def cut(ratios: list[float]) -> tuple[dict[str, float], CompiledTimes]:
        masks = units.masks(scores, ratios)
        twin = apply_(copied(model), plan_of(model, masks))
        densities = {name: float(mask.mean()) for name, mask in masks.items()}
        return densities, compiled_times(twin, example)

    most = units.max_ratios("live")
    asked = [[min(1 - share, highest) for highest in most] for share in (*DENSITIES, 0.0)]
    costs = LayerCosts([cut(ratios) for ratios in asked])
    cuts = _Cuts(units, scores, scope, costs)
    lowest = costs.whole(cuts.densities([0] * len(scores)))
    levels, taken = in_time(
        milliseconds, cuts, lowest, list(units.layers), lambda levels: cut(cuts.at(levels))[1]
    )
    return cuts.at(levels), taken


def _ladder(units: Units) -> np.ndarray:
    """Ratios from the largest to 0 for each group: (levels, groups)."""
    most = np.array(units.max_ratios("live"))
    ladder = 1 - np.geomspace(1 - most, 1.0, _LEVELS)
    ladder[0], ladder[-1] = most, 0.0
    return np.clip(ladder, 0.0, most)


def _worth(scores: np.ndarray, shares: np.ndarray, scope: str) -> np.ndarray:
    """What the highest `shares` (levels,) of `scores` add up to, (levels,)."""
    kept = np.append(0.0, np.cumsum(np.sort(scores, axis=None)[::-1]))
    worth = np.interp(shares * scores.size, np.arange(kept.size), kept)
    return worth / max(kept[-1], 1e-30) if scope == "layer" else worth


def _tables(units: Units) -> dict[str, np.ndarray]:
    """For each layer a table (groups + 1, groups + 1) that says how its density depends on them.

    With the shares k (groups + 1,) that are left of the groups, and 1 for what is in none, the
    density is k @ table @ k: an entry is the share of the layer's weights in connections that
    belong to one group and read another.
    """
    size = len(units.groups) + 1
    tables: dict[str, np.ndarray] = {}
    if not isinstance(units, ConnectionUnits):
        for item, group in enumerate(units.groups):
            table = np.zeros((size, size))
            table[item, -1] = units.layers[group.layers[0]].mask.mean()
            tables[group.layers[0]] = table
        return tables
    # -1, for no unit, is the last entry.
    group_of = np.append(np.repeat(np.arange(size - 1), [g.count for g in units.groups]), size - 1)
    for name, layer in units.layers.items():
        none = np.full(layer.shape[:2], -1)
        owns, reads = (group_of[of.get(name, none)] for of in (units.owner, units.reader))
        live = layer.mask.reshape(*none.shape, -1).sum(axis=2) / layer.mask.size
        flat = np.bincount((owns * size + reads).ravel(), live.ravel(), size * size)
        tables[name] = flat.reshape(size, size)
    return tables
