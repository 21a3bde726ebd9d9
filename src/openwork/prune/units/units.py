"""Units: the parts of a network that are kept or removed as a whole, and the choice among them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Any, final

import numpy as np

from openwork._arguments import check_choice
from openwork.errors import ArgumentError
from openwork.prune.units.cascade import Cascade
from openwork.prune.units.layers import Layer, connected

# A ratio for all groups, or one for each.
Ratio = float | list[float]
SCOPES = ("layer", "global")
# A ratio is a share of the units that live now, or of those of the dense layers.
SHARES = ("live", "all")


@dataclass(frozen=True)
class Group:
    """Units among which one ratio is met: those of a layer, or of layers that are tied.

    Attributes:
        name: the layer or layers, for messages.
        count: units that live.
        total: units of the dense layer or layers.
        layers: the qualified name of the layer, or of each of the tied ones.
    """

    name: str
    count: int
    total: int
    layers: tuple[str, ...]


class Units(ABC):
    """The units of one granularity in the chosen layers of a model.

    A mask is a boolean array of the shape of a layer's dense weight, (out, in / groups, kh, kw) or
    (out, in): True where the weight lives.

    Attributes:
        noun: what a unit is, in the plural.
        groups: the groups; no unit is in two of them.
        layers: every layer in which something is cut, by name.
        notes: what is left whole, and why.
    """

    noun: str
    groups: tuple[Group, ...]
    layers: Mapping[str, Layer]
    notes: tuple[str, ...]

    @property
    @abstractmethod
    def chosen(self) -> tuple[str, ...]:
        """Layers that the units belong to; the others in `layers` only read what is cut."""

    @property
    @abstractmethod
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each group's array of scores."""

    @abstractmethod
    def aggregate(self, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Add up values of single weights to one score for each unit.

        Args:
            values: layer -> array of the shape of its dense weight.

        Returns:
            One array for each group, of the `shapes`.
        """

    @abstractmethod
    def masks(
        self, scores: Sequence[np.ndarray], ratio: Ratio, scope: str = "layer", of: str = "live"
    ) -> dict[str, np.ndarray]:
        """Cut the units with the lowest scores and return what lives then.

        Args:
            scores: one array for each group, of the `shapes`.
            ratio: share of the units to cut, in [0, 1); or one for each group.
            scope: "layer": the share of each group; "global": of all groups together.
            of: "live": share of the units that live now; "all": of those of the dense layers.

        Returns:
            Layer -> mask.
        """

    @abstractmethod
    def count_alive(self, masks: Mapping[str, np.ndarray]) -> int:
        """How many units live under `masks` (layer -> mask)."""

    @abstractmethod
    def kept(self, ratio: Ratio, of: str) -> list[int]:
        """How many units of each group `ratio` leaves in scope "layer"."""

    @abstractmethod
    def max_ratios(self, of: str) -> list[float]:
        """The largest ratio that leaves something in each group, by group."""

    def max_ratio(self, scope: str, of: str) -> float:
        """The largest ratio that leaves something in each group."""
        return min(self.max_ratios(of))

    def by_group(self, ratio: Ratio) -> list[float]:
        """`ratio` for each group."""
        return list(ratio) if isinstance(ratio, list) else [ratio] * len(self.groups)

    def check_ratio(self, ratio: Any, scope: str = "layer", of: str = "live") -> None:
        """Refuse a ratio that cannot be reached.

        Args:
            ratio: what is asked for, one number or one for each group.
            scope, of: as for `masks`.

        Raises:
            ArgumentError: the ratio is not a number in the feasible range, which the message
                names.
        """
        check_choice("scope", scope, SCOPES)
        check_choice("of", of, SHARES)
        if isinstance(ratio, list):
            self._check_ratios(ratio, of)
            return
        numeric = isinstance(ratio, Real) and not isinstance(ratio, bool)
        highest = self.max_ratio(scope, of)
        if not numeric or not 0 <= float(ratio) <= highest:
            smallest = min(self.groups, key=lambda group: group.count)
            raise ArgumentError(
                f"`ratio`={ratio!r} must lie in [0, {rounded_down(highest)}], so that something is "
                f"left of each layer; {smallest.name} has {smallest.count} {self.noun} only, and "
                "`layers` can leave it out"
            )

    def _check_ratios(self, ratios: list[Any], of: str) -> None:
        for group, ratio, highest in zip(self.groups, ratios, self.max_ratios(of), strict=True):
            numeric = isinstance(ratio, Real) and not isinstance(ratio, bool)
            if not numeric or not 0 <= float(ratio) <= highest:
                raise ArgumentError(
                    f"`ratio`={ratio!r} for {group.name} must lie in [0, {rounded_down(highest)}], "
                    f"so that something is left of its {group.count} {self.noun}"
                )


@final
@dataclass(frozen=True, eq=False)
class ConnectionUnits(Units):
    """Units made of whole connections: maps, kernels, blocks.

    Units are numbered through all groups; -1 marks a connection that belongs to none.

    Attributes:
        owner: layer -> array (out, in / groups): the unit that each connection belongs to and
            adds to the score of.
        reader: layer -> array (out, in / groups): the unit that each connection reads. The
            connection is removed with it too, but does not add to its score.
        norms: (scale (channels,) of a batch normalisation, unit (channels,) of each channel)
            pairs.
        round_to: how many units live in a group that is cut is a multiple of this.
    """

    noun: str
    groups: tuple[Group, ...]
    layers: Mapping[str, Layer]
    owner: Mapping[str, np.ndarray]
    reader: Mapping[str, np.ndarray] = field(default_factory=dict)
    norms: tuple[tuple[np.ndarray, np.ndarray], ...] = ()
    notes: tuple[str, ...] = ()
    round_to: int = 1

    @property
    def chosen(self) -> tuple[str, ...]:
        return tuple(self.owner)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple((group.count,) for group in self.groups)

    def aggregate(self, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        total = np.zeros(sum(group.count for group in self.groups))
        for name, owner in self.owner.items():
            of_connection = values[name].reshape(*owner.shape, -1).sum(axis=2)
            total += _sum_by_owner(owner, of_connection, total.size)
        return self.split(total)

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """Split an array over all units, (units,), into one for each group."""
        return np.split(values, np.cumsum(self._sizes)[:-1])

    def count_alive(self, masks: Mapping[str, np.ndarray]) -> int:
        alive = [owner[connected(masks[name])] for name, owner in self.owner.items()]
        units = np.unique(np.concatenate(alive))
        return int((units >= 0).sum())

    def max_ratio(self, scope: str, of: str) -> float:
        if scope == "global":
            left = len(self.groups)
            count = sum(group.count for group in self.groups)
            total = sum(group.total for group in self.groups)
            return ratio_for(count - left, count, total, of)
        return super().max_ratio(scope, of)

    def max_ratios(self, of: str) -> list[float]:
        return [ratio_for(g.count - 1, g.count, g.total, of) for g in self.groups]

    def masks(
        self, scores: Sequence[np.ndarray], ratio: Ratio, scope: str = "layer", of: str = "live"
    ) -> dict[str, np.ndarray]:
        self.check_ratio(ratio, scope, of)
        if not isinstance(ratio, list) and scope == "global":
            counts = [int(k.sum()) for k in self._keep_globally(scores, float(ratio), of)]
            counts = list(map(self._rounded, counts, self._sizes))
        else:
            counts = self.kept(ratio, of)
        kept = [_keep_highest(s, s.size - n) for s, n in zip(scores, counts, strict=True)]
        alive = np.concatenate(kept)
        if self.reader and not self._cascade.is_closed(alive):
            alive = self._keep_closed(scores, kept, scope)
        # -1 indexes the True at the end: what belongs to no unit is kept.
        alive = np.append(alive, True)
        return {name: self._mask(layer, alive) for name, layer in self.layers.items()}

    def kept(self, ratio: Ratio, of: str) -> list[int]:
        pairs = zip(self.by_group(ratio), self.groups, strict=True)
        return [
            self._rounded(g.count - count_to_cut(share, g.count, g.total, of), g.count)
            for share, g in pairs
        ]

    def _rounded(self, left: int, count: int) -> int:
        """The multiple of `round_to` nearest to `left`, at least one of it; or all `count`."""
        multiple = max(1, math.floor(left / self.round_to + 0.5)) * self.round_to
        return count if left == count else min(count, multiple)

    def _keep_globally(
        self, scores: Sequence[np.ndarray], ratio: float, of: str
    ) -> list[np.ndarray]:
        count = sum(group.count for group in self.groups)
        total = sum(group.total for group in self.groups)
        # The best unit of each group cannot be cut, so that no layer ends empty.
        safe = [np.where(np.arange(s.size) == s.argmax(), np.inf, s) for s in scores]
        cut = count_to_cut(ratio, count, total, of)
        return self.split(_keep_highest(np.concatenate(safe), cut))

    @cached_property
    def _cascade(self) -> Cascade:
        return Cascade(self.layers, self.owner, self.reader, self._sizes)

    @property
    def _sizes(self) -> list[int]:
        return [group.count for group in self.groups]

    def _keep_closed(
        self, scores: Sequence[np.ndarray], kept: Sequence[np.ndarray], scope: str
    ) -> np.ndarray:
        """Keep at least the number in `kept`, where units lost with a cut one count as cut."""
        limits = np.array([int((~k).sum()) for k in kept])
        total = int(limits.sum())
        if scope == "layer":
            firsts = np.cumsum([0, *self._sizes[:-1]])
            pairs = zip(firsts, scores, strict=True)
            order = np.concatenate([first + s.argsort(kind="stable") for first, s in pairs])
        else:
            limits = np.array(self._sizes) - 1
            order = np.concatenate(scores).argsort(kind="stable")
        return self._cascade.cut(order, limits, total)

    def _mask(self, layer: Layer, alive: np.ndarray) -> np.ndarray:
        live = np.ones(layer.shape[:2], dtype=bool)
        for table in (self.owner, self.reader):
            if layer.name in table:
                live &= alive[table[layer.name]]
        return layer.mask & live.reshape(*live.shape, *[1] * (len(layer.shape) - 2))


def _sum_by_owner(owner: np.ndarray, values: np.ndarray, units: int) -> np.ndarray:
    owned = owner >= 0
    return np.bincount(owner[owned], weights=values[owned], minlength=units)


def _keep_highest(scores: np.ndarray, cut: int) -> np.ndarray:
    """All but the `cut` lowest of `scores`; among equals the first are cut first."""
    kept = np.ones(scores.size, dtype=bool)
    kept[np.argsort(scores, kind="stable")[:cut]] = False
    return kept


def count_to_cut(ratio: float, count: int, total: int, of: str) -> int:
    """How many of `count` live units to cut: `ratio`, rounded to the nearest whole unit."""
    if of == "live":
        return math.floor(ratio * count + 0.5)
    return max(0, math.floor(ratio * total + 0.5) - (total - count))


def ratio_for(cut: int, count: int, total: int, of: str) -> float:
    """The largest ratio that still rounds to `cut` of `count` live units."""
    ratio = (cut + 0.5) / count if of == "live" else (total - count + cut + 0.5) / total
    while count_to_cut(ratio, count, total, of) > cut:
        ratio = math.nextafter(ratio, 0.0)
    return ratio


def rounded_down(ratio: float) -> float:
    """`ratio` to four digits, rounded down so that it is still feasible when typed in."""
    return math.floor(ratio * 1e4) / 1e4
