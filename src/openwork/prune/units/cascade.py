"""What falls with a feature map where layers are sparse: maps that nothing makes any more.

In a dense layer every map is made of all that it reads, and lives as long as one of those does. In
a sparse or grouped one it may be made of those alone that are cut, and is gone with them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from openwork.prune.units.layers import Layer


@dataclass(eq=False)
class _State:
    """What lives.

    Attributes:
        alive: (units,) bool.
        rows: (rows,) bool; whether a filter of a layer lives.
        links: (rows,) connections of each that read a live unit, or a map that is none.
        rows_of_unit, rows_of_layer: live rows of each.
    """

    alive: np.ndarray
    rows: np.ndarray
    links: np.ndarray
    rows_of_unit: np.ndarray
    rows_of_layer: np.ndarray

    def copy(self) -> "_State":
        return _State(*(array.copy() for array in vars(self).values()))


class Cascade:
    """Follows the loss of a unit to all others that are lost with it.

    A row is a filter of a layer. What it reads of the unit that it makes, in a depthwise layer or a
    loop, is a loop, all else that it reads are its links. A unit lives while one of its rows has a
    link that lives; a row lives while its unit does and it has a link or a loop.

    Args:
        layers: where connections are cut.
        owner, reader: as in `Cells`; a row has one owner.
        sizes: units of each group.
    """

    def __init__(
        self,
        layers: Mapping[str, Layer],
        owner: Mapping[str, np.ndarray],
        reader: Mapping[str, np.ndarray],
        sizes: Sequence[int],
    ) -> None:
        self._group = np.repeat(np.arange(len(sizes)), sizes)
        self._links: list[np.ndarray] = []
        self._read: list[np.ndarray] = []
        self._groups = [layer.groups for layer in layers.values()]
        made, rows, loops = [], [], []
        for name, layer in layers.items():
            nobody = np.full(layer.shape[:2], -1)
            makes, reads = owner.get(name, nobody), reader.get(name, nobody)
            looped = layer.connections & (reads == makes) & (makes >= 0)
            self._links.append(layer.connections & ~looped)
            loops.append(looped.any(axis=1))
            self._read.append(reads)
            made.append(makes[:, 0])
            rows.append(layer.connections.any(axis=1))
        self._first = np.cumsum([0, *map(len, rows)])
        self._layer = np.repeat(np.arange(len(rows)), [len(live) for live in rows])
        self._unit = np.concatenate(made)
        self._loops = np.concatenate(loops)
        links = np.concatenate([links.sum(axis=1) for links in self._links])
        makers = self._unit[(links > 0) & (self._unit >= 0)]
        self._start = _State(
            alive=np.ones(self._group.size, dtype=bool),
            rows=np.concatenate(rows),
            links=links,
            rows_of_unit=np.bincount(makers, minlength=self._group.size),
            rows_of_layer=np.array([live.sum() for live in rows]),
        )
        self._readers: dict[int, list[tuple[int, slice, np.ndarray]]] = {}
        self._read_by_unit: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def stands(self, alive: np.ndarray) -> bool:
        """Whether no unit falls, and no layer is left empty, if `alive` (units,) are kept."""
        start, known = self._start, np.append(alive, True)
        pairs = zip(self._links, self._read, strict=True)
        fed = np.concatenate([(links & known[read]).any(axis=1) for links, read in pairs])
        lives = (fed | self._loops) & known[self._unit]
        rows_of_layer = np.bincount(self._layer[lives], minlength=start.rows_of_layer.size)
        rows_of_unit = np.bincount(self._unit[fed & (self._unit >= 0)], minlength=alive.size)
        starved = alive & (rows_of_unit == 0) & (start.rows_of_unit > 0)
        emptied = (rows_of_layer == 0) & (start.rows_of_layer > 0)
        return not starved.any() and not emptied.any()

    def cut(self, order: np.ndarray, limits: np.ndarray, total: int) -> np.ndarray:
        """Take units away one after the other, each with all that falls with it.

        One is passed over while that would be too much, and is tried again after the others. If
        too few can go in that order, those with which most falls go last.

        Args:
            order: units, the first to go first.
            limits: of each group, units that may go.
            total: units that may go in all.

        Returns:
            (units,) boolean; what lives. No layer is left empty, so that less than asked may go.
        """
        if not self._readers:
            self._find_readers()
        alive = self._cut_in_order(order, limits, total)
        if (~alive).sum() == min(total, limits.sum()):
            return alive
        falls = [int((~self._without(self._start, unit).alive).sum()) for unit in order.tolist()]
        other = self._cut_in_order(order[np.argsort(falls, kind="stable")], limits, total)
        return min(alive, other, key=np.sum)

    def _cut_in_order(self, order: np.ndarray, limits: np.ndarray, total: int) -> np.ndarray:
        state, before = self._start, -1
        waiting = order.tolist()
        while len(waiting) != before:
            before, passed = len(waiting), []
            for unit in waiting:
                if not state.alive[unit] or self._full(state, unit, limits, total):
                    continue
                after = self._without(state, unit)
                if self._fits(after, limits, total):
                    state = after
                else:
                    passed.append(unit)
            waiting = passed
        return state.alive

    def _full(self, state: _State, unit: int, limits: np.ndarray, total: int) -> bool:
        gone, group = ~state.alive, self._group[unit]
        return gone.sum() == total or gone[self._group == group].sum() == limits[group]

    def _fits(self, state: _State, limits: np.ndarray, total: int) -> bool:
        gone = np.bincount(self._group[~state.alive], minlength=limits.size)
        emptied = (state.rows_of_layer == 0) & (self._start.rows_of_layer > 0)
        return bool(gone.sum() <= total and (gone <= limits).all() and not emptied.any())

    def _without(self, state: _State, unit: int) -> _State:
        state = state.copy()
        falling = [unit]
        while falling:
            unit = falling.pop()
            if not state.alive[unit]:
                continue
            state.alive[unit] = False
            rows, links = self._read_by(unit)
            state.links[rows] -= links
            starved = rows[state.links[rows] == 0]
            makers = self._unit[starved]
            makers = makers[makers >= 0]
            np.subtract.at(state.rows_of_unit, makers, 1)
            lost = np.zeros_like(state.rows)
            lost[starved] = ~self._loops[starved]
            lost = np.flatnonzero((lost | (self._unit == unit)) & state.rows)
            state.rows[lost] = False
            np.subtract.at(state.rows_of_layer, self._layer[lost], 1)
            falling += makers[state.rows_of_unit[makers] == 0].tolist()
        return state

    def _find_readers(self) -> None:
        """Unit -> (layer, rows of it, columns) that read it, a group of the layer at a time."""
        readers = defaultdict(list)
        for index, (read, groups) in enumerate(zip(self._read, self._groups, strict=True)):
            filters = len(read) // groups
            for first in range(0, len(read), filters):
                for unit in np.unique(read[first][read[first] >= 0]).tolist():
                    columns = np.flatnonzero(read[first] == unit)
                    readers[unit].append((index, slice(first, first + filters), columns))
        self._readers = dict(readers)

    def _read_by(self, unit: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows that read a unit, and how many links each has to it."""
        if unit not in self._read_by_unit:
            rows, counts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
            for index, part, columns in self._readers.get(unit, ()):
                links = self._links[index][part][:, columns].sum(axis=1)
                reading = np.flatnonzero(links)
                rows.append(self._first[index] + part.start + reading)
                counts.append(links[reading])
            self._read_by_unit[unit] = np.concatenate(rows), np.concatenate(counts)
        return self._read_by_unit[unit]
