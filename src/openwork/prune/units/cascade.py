"""Which other feature maps are lost with one that is cut, because nothing produces them then.

In a dense layer every map is computed from all inputs, and lives as long as one of them does. In a
sparse or grouped layer a map may be computed only from maps that are cut; then it is lost too.
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
        alive: (units,) bool; whether each unit lives.
        filters: (filters,) bool; whether each filter lives.
        inputs: (filters,) how many inputs of each filter are live units, or belong to no unit.
        filters_of_unit: (units,) how many filters that produce the unit have an input.
        filters_of_layer: (layers,) how many filters of the layer live.
    """

    alive: np.ndarray
    filters: np.ndarray
    inputs: np.ndarray
    filters_of_unit: np.ndarray
    filters_of_layer: np.ndarray

    def copy(self) -> "_State":
        return _State(*(array.copy() for array in vars(self).values()))


class Cascade:
    """Finds all units that are lost with one.

    A filter produces one unit. It may read the unit that it produces, in a depthwise layer or in a
    recurrence: its self-input. Everything else that it reads are its inputs. A unit lives while
    one of its filters has a live input; a filter lives while its unit does and it has a live
    input or a self-input.

    Args:
        layers: where connections are cut.
        owner, reader: as in `ConnectionUnits`; all connections of a filter have one owner.
        sizes: units of each group.
    """

    def __init__(
        self,
        layers: Mapping[str, Layer],
        owner: Mapping[str, np.ndarray],
        reader: Mapping[str, np.ndarray],
        sizes: Sequence[int],
    ) -> None:
        self._group_of_unit = np.repeat(np.arange(len(sizes)), sizes)
        # For each layer: which connections are inputs, and the unit that each one reads.
        self._inputs: list[np.ndarray] = []
        self._read: list[np.ndarray] = []
        self._groups = [layer.groups for layer in layers.values()]
        produced, live_filters, self_inputs = [], [], []
        for name, layer in layers.items():
            no_unit = np.full(layer.shape[:2], -1)
            produces, reads = owner.get(name, no_unit), reader.get(name, no_unit)
            reads_itself = layer.connections & (reads == produces) & (produces >= 0)
            self._inputs.append(layer.connections & ~reads_itself)
            self_inputs.append(reads_itself.any(axis=1))
            self._read.append(reads)
            produced.append(produces[:, 0])
            live_filters.append(layer.connections.any(axis=1))
        self._first_filter = np.cumsum([0, *map(len, live_filters)])
        self._layer_of_filter = np.repeat(
            np.arange(len(live_filters)), [len(live) for live in live_filters]
        )
        self._unit_of_filter = np.concatenate(produced)
        self._has_self_input = np.concatenate(self_inputs)
        inputs = np.concatenate([inputs.sum(axis=1) for inputs in self._inputs])
        fed_units = self._unit_of_filter[(inputs > 0) & (self._unit_of_filter >= 0)]
        self._start = _State(
            alive=np.ones(self._group_of_unit.size, dtype=bool),
            filters=np.concatenate(live_filters),
            inputs=inputs,
            filters_of_unit=np.bincount(fed_units, minlength=self._group_of_unit.size),
            filters_of_layer=np.array([live.sum() for live in live_filters]),
        )
        self._readers: dict[int, list[tuple[int, slice, np.ndarray]]] = {}
        self._inputs_by_unit: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def is_closed(self, alive: np.ndarray) -> bool:
        """Whether `alive` (units,) can be kept: no unit of it is lost, and no layer is empty."""
        # -1 indexes the True at the end: what belongs to no unit lives.
        start, live = self._start, np.append(alive, True)
        pairs = zip(self._inputs, self._read, strict=True)
        fed = np.concatenate([(inputs & live[read]).any(axis=1) for inputs, read in pairs])
        unit = self._unit_of_filter
        filters = (fed | self._has_self_input) & live[unit]
        filters_of_layer = np.bincount(
            self._layer_of_filter[filters], minlength=start.filters_of_layer.size
        )
        filters_of_unit = np.bincount(unit[fed & (unit >= 0)], minlength=alive.size)
        starved = alive & (filters_of_unit == 0) & (start.filters_of_unit > 0)
        emptied = (filters_of_layer == 0) & (start.filters_of_layer > 0)
        return not starved.any() and not emptied.any()

    def cut(self, order: np.ndarray, limits: np.ndarray, total: int) -> np.ndarray:
        """Cut units one after the other, each with all units that are lost with it.

        A unit that would exceed a limit is passed over and tried again after the others. If the
        order allows too few cuts, the units that take most others with them are tried last.

        Args:
            order: (units,) the units, the first to be cut first.
            limits: (groups,) how many units of each group may be cut.
            total: how many units may be cut in all.

        Returns:
            (units,) bool; what lives. No layer is left empty, so fewer than `total` may be cut.
        """
        if not self._readers:
            self._find_readers()
        alive = self._cut_in_order(order, limits, total)
        if (~alive).sum() == min(total, limits.sum()):
            return alive
        losses = [int((~self._without(self._start, unit).alive).sum()) for unit in order.tolist()]
        other = self._cut_in_order(order[np.argsort(losses, kind="stable")], limits, total)
        return min(alive, other, key=np.sum)

    def _cut_in_order(self, order: np.ndarray, limits: np.ndarray, total: int) -> np.ndarray:
        state, before = self._start, -1
        waiting = order.tolist()
        while len(waiting) != before:
            before, passed = len(waiting), []
            for unit in waiting:
                if not state.alive[unit] or self._is_full(state, unit, limits, total):
                    continue
                after = self._without(state, unit)
                if self._fits(after, limits, total):
                    state = after
                else:
                    passed.append(unit)
            waiting = passed
        return state.alive

    def _is_full(self, state: _State, unit: int, limits: np.ndarray, total: int) -> bool:
        gone, group = ~state.alive, self._group_of_unit[unit]
        return gone.sum() == total or gone[self._group_of_unit == group].sum() == limits[group]

    def _fits(self, state: _State, limits: np.ndarray, total: int) -> bool:
        gone = np.bincount(self._group_of_unit[~state.alive], minlength=limits.size)
        emptied = (state.filters_of_layer == 0) & (self._start.filters_of_layer > 0)
        return bool(gone.sum() <= total and (gone <= limits).all() and not emptied.any())

    def _without(self, state: _State, unit: int) -> _State:
        """The state after `unit` is cut, and all that is lost with it."""
        state = state.copy()
        to_remove = [unit]
        while to_remove:
            unit = to_remove.pop()
            if not state.alive[unit]:
                continue
            state.alive[unit] = False
            filters, counts = self._inputs_from(unit)
            state.inputs[filters] -= counts
            starved = filters[state.inputs[filters] == 0]
            units = self._unit_of_filter[starved]
            units = units[units >= 0]
            np.subtract.at(state.filters_of_unit, units, 1)
            lost = np.zeros_like(state.filters)
            lost[starved] = ~self._has_self_input[starved]
            lost = np.flatnonzero((lost | (self._unit_of_filter == unit)) & state.filters)
            state.filters[lost] = False
            np.subtract.at(state.filters_of_layer, self._layer_of_filter[lost], 1)
            to_remove += units[state.filters_of_unit[units] == 0].tolist()
        return state

    def _find_readers(self) -> None:
        """Find where each unit is read: (layer, its filters, columns) for each group of a layer."""
        readers = defaultdict(list)
        for index, (read, groups) in enumerate(zip(self._read, self._groups, strict=True)):
            filters = len(read) // groups
            for first in range(0, len(read), filters):
                for unit in np.unique(read[first][read[first] >= 0]).tolist():
                    columns = np.flatnonzero(read[first] == unit)
                    readers[unit].append((index, slice(first, first + filters), columns))
        self._readers = dict(readers)

    def _inputs_from(self, unit: int) -> tuple[np.ndarray, np.ndarray]:
        """The filters with inputs from `unit`, and how many each has."""
        if unit not in self._inputs_by_unit:
            filters, counts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
            for index, part, columns in self._readers.get(unit, ()):
                inputs = self._inputs[index][part][:, columns].sum(axis=1)
                reading = np.flatnonzero(inputs)
                filters.append(self._first_filter[index] + part.start + reading)
                counts.append(inputs[reading])
            self._inputs_by_unit[unit] = np.concatenate(filters), np.concatenate(counts)
        return self._inputs_by_unit[unit]
