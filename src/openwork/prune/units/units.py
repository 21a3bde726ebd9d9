"""Units: what a cut takes away or leaves as one, and the choice of those with the lowest scores."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import final

import numpy as np

from openwork._arguments import check_choice
from openwork.errors import ArgumentError
from openwork.prune.units.cascade import Cascade
from openwork.prune.units.layers import Layer, connected

SCOPES = ("layer", "global")
# Of what a ratio is the share: of the units that live now, or of those of the dense layers.
SHARES = ("live", "all")


@dataclass(frozen=True)
class Group:
    """Units that one ratio is shared out among: those of a layer, or of layers that are tied.

    Attributes:
        name: of the layer or layers, for messages.
        count: units that live.
        total: units of the dense layer or layers.
    """

    name: str
    count: int
    total: int


class Units(ABC):
    """The units of one granularity in the chosen layers of a model.

    Attributes:
        noun: what a unit is, in the plural.
        groups: the groups, each with units of its own.
        layers: every layer in which something is cut, by name.
        notes: what was left whole, and why.
    """

    noun: str
    groups: tuple[Group, ...]
    layers: Mapping[str, Layer]
    notes: tuple[str, ...]

    @property
    @abstractmethod
    def chosen(self) -> tuple[str, ...]:
        """Layers whose own units these are; others in `layers` only read what is cut."""

    @property
    @abstractmethod
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the array of scores of each group."""

    @abstractmethod
    def sums(self, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Values a tap, by layer, added up to one score each in the arrays of `shapes`."""

    @abstractmethod
    def masks(
        self, scores: Sequence[np.ndarray], ratio: float, scope: str = "layer", of: str = "live"
    ) -> dict[str, np.ndarray]:
        """Cut the units with the lowest scores; what lives then.

        Args:
            scores: an array for each group, of the `shapes`.
            ratio: share of the units that is cut, in [0, 1).
            scope: "layer": the share of each group; "global": of all groups together.
            of: "live": share of the units that live now; "all": of those of the dense layers.

        Returns:
            Layer name -> boolean array of the shape of its dense weight.
        """

    @abstractmethod
    def living(self, taps: Mapping[str, np.ndarray]) -> int:
        """How many units live where `taps` (layer -> array, as `masks` returns it) are alive."""

    @abstractmethod
    def most(self, scope: str, of: str) -> float:
        """The largest ratio that leaves something of each group."""

    def check_ratio(self, ratio: float, scope: str = "layer", of: str = "live") -> None:
        """Refuse a ratio that cannot be reached.

        Raises:
            ArgumentError: the ratio is no number in the feasible range, which the message names.
        """
        check_choice("scope", scope, SCOPES)
        check_choice("of", of, SHARES)
        numeric = isinstance(ratio, Real) and not isinstance(ratio, bool)
        most = self.most(scope, of)
        if not numeric or not 0 <= ratio <= most:
            least = min(self.groups, key=lambda group: group.count)
            raise ArgumentError(
                f"`ratio`={ratio!r} must lie in [0, {rounded_down(most)}], so that something is "
                f"left of each layer; {least.name} has {least.count} {self.noun} only, and "
                "`layers` can leave it out"
            )


@final
@dataclass(frozen=True, eq=False)
class Cells(Units):
    """Units made of whole connections: maps, kernels, blocks.

    Units are numbered through all groups; -1 stands for a connection that belongs to none.

    Attributes:
        owner: layer -> unit (out, in / groups) of each connection, the one that it scores for.
        reader: layer -> unit (out, in / groups) with which a connection goes as well, without
            scoring for it: the map that it reads.
        norms: (scale of a batch normalisation, unit of each of its channels) pairs.
    """

    noun: str
    groups: tuple[Group, ...]
    layers: Mapping[str, Layer]
    owner: Mapping[str, np.ndarray]
    reader: Mapping[str, np.ndarray] = field(default_factory=dict)
    norms: tuple[tuple[np.ndarray, np.ndarray], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def chosen(self) -> tuple[str, ...]:
        return tuple(self.owner)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple((group.count,) for group in self.groups)

    def sums(self, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        total = np.zeros(sum(group.count for group in self.groups))
        for name, owner in self.owner.items():
            of_connection = values[name].reshape(*owner.shape, -1).sum(axis=2)
            total += _add_up(owner, of_connection, total.size)
        return self.split(total)

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """An array over all units as one for each group."""
        return np.split(values, np.cumsum(self._sizes)[:-1])

    def living(self, taps: Mapping[str, np.ndarray]) -> int:
        alive = [owner[connected(taps[name])] for name, owner in self.owner.items()]
        units = np.unique(np.concatenate(alive))
        return int((units >= 0).sum())

    def most(self, scope: str, of: str) -> float:
        if scope == "global":
            left = len(self.groups)
            count = sum(group.count for group in self.groups)
            total = sum(group.total for group in self.groups)
            return _most(count - left, count, total, of)
        return min(_most(g.count - 1, g.count, g.total, of) for g in self.groups)

    def masks(
        self, scores: Sequence[np.ndarray], ratio: float, scope: str = "layer", of: str = "live"
    ) -> dict[str, np.ndarray]:
        self.check_ratio(ratio, scope, of)
        if scope == "layer":
            pairs = zip(scores, self.groups, strict=True)
            kept = [_keep(s, _cut(ratio, group.count, group.total, of)) for s, group in pairs]
        else:
            kept = self._keep_globally(scores, ratio, of)
        alive = np.concatenate(kept)
        if self.reader and not self._cascade.stands(alive):
            alive = self._keep_what_stands(scores, kept, scope)
        # One more at the end, where -1 points: what belongs to no unit stays.
        alive = np.append(alive, True)
        return {name: self._taps(layer, alive) for name, layer in self.layers.items()}

    def _keep_globally(
        self, scores: Sequence[np.ndarray], ratio: float, of: str
    ) -> list[np.ndarray]:
        count = sum(group.count for group in self.groups)
        total = sum(group.total for group in self.groups)
        # The best unit of each group is not up for choice, so that no layer ends empty.
        safe = [np.where(np.arange(s.size) == s.argmax(), np.inf, s) for s in scores]
        return self.split(_keep(np.concatenate(safe), _cut(ratio, count, total, of)))

    @cached_property
    def _cascade(self) -> Cascade:
        return Cascade(self.layers, self.owner, self.reader, self._sizes)

    @property
    def _sizes(self) -> list[int]:
        return [group.count for group in self.groups]

    def _keep_what_stands(
        self, scores: Sequence[np.ndarray], kept: Sequence[np.ndarray], scope: str
    ) -> np.ndarray:
        """As many as in `kept`, or more, where what falls with a unit counts as cut too."""
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

    def _taps(self, layer: Layer, alive: np.ndarray) -> np.ndarray:
        live = np.ones(layer.shape[:2], dtype=bool)
        for table in (self.owner, self.reader):
            if layer.name in table:
                live &= alive[table[layer.name]]
        return layer.taps & live.reshape(*live.shape, *[1] * (len(layer.shape) - 2))


def _add_up(owner: np.ndarray, values: np.ndarray, units: int) -> np.ndarray:
    owned = owner >= 0
    return np.bincount(owner[owned], weights=values[owned], minlength=units)


def _keep(scores: np.ndarray, cut: int) -> np.ndarray:
    """All but the `cut` lowest of `scores`; of equal ones the first goes first."""
    kept = np.ones(scores.size, dtype=bool)
    kept[np.argsort(scores, kind="stable")[:cut]] = False
    return kept


def _cut(ratio: float, count: int, total: int, of: str) -> int:
    """Units to cut of `count` live ones: the nearest whole number to the share asked for."""
    if of == "live":
        return math.floor(ratio * count + 0.5)
    return max(0, math.floor(ratio * total + 0.5) - (total - count))


def _most(cut: int, count: int, total: int, of: str) -> float:
    """The largest ratio that still rounds to `cut` of `count` units."""
    most = (cut + 0.5) / count if of == "live" else (total - count + cut + 0.5) / total
    while _cut(most, count, total, of) > cut:
        most = math.nextafter(most, 0.0)
    return most


def rounded_down(ratio: float) -> float:
    """`ratio` in four digits, rounded down so that it may be typed in again."""
    return math.floor(ratio * 1e4) / 1e4
