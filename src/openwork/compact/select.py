"""`Selection`: which atoms are removed; all that are dead, but for those that shapes need."""

from collections.abc import Callable

import numpy as np

from openwork.flow.analysis import Analysis
from openwork.flow.atoms import Layout
from openwork.flow.op import Inconsistent
from openwork.flow.weighted_sum import WeightedSum


class Selection:
    """Atoms that are removed, and the layouts of tensors without them.

    Args:
        analysis: of the network.
        keep: (k,) int, atoms that must be kept, with all that are coupled to them.
        round_to: the numbers of kept channels are multiples of it in layers that have enough.

    Attributes:
        dead: (n,) bool: atoms that could be removed if numbers of channels did not matter.
        removable: (n,) bool: those that could be removed if `keep` were empty, so that groups are
            equal, no layer is empty, and each constant has a channel that absorbs it.
        columns: qualified name of a weight -> (in,) int, the old input channel of each new one.
    """

    def __init__(self, analysis: Analysis, keep: np.ndarray, round_to: int = 1) -> None:
        self._analysis = analysis
        self._group = analysis.atoms.coupled_groups()
        self._gone = self._dead()
        self.dead = self.gone
        self.columns: dict[str, np.ndarray] = {}
        self._balance(round_to=1)
        self.removable = self.gone
        self._keep(keep)
        self._make_consistent(round_to)

    @property
    def gone(self) -> np.ndarray:
        """(n,) bool: atoms that are removed."""
        return self._gone[self._group]

    def reasons(self) -> tuple[np.ndarray, np.ndarray]:
        """Why atoms are removed: (n,) bool, read, and (n,) bool, constant.

        An atom is read if an output depends on it or on one that is coupled to it; constant if
        one of these is read and has a constant value other than zero.
        """
        analysis = self._analysis
        read, constant = np.zeros_like(self._gone), np.zeros_like(self._gone)
        read[self._group[analysis.live]] = True
        constant[self._group[analysis.live & (np.nan_to_num(analysis.atoms.value) != 0)]] = True
        return read[self._group], constant[self._group]

    def _dead(self) -> np.ndarray:
        """By group: whether all its atoms are constant or unread, and none is frozen."""
        analysis = self._analysis
        needed = analysis.live & np.isnan(analysis.atoms.value)
        kept = np.zeros(len(self._group), dtype=bool)
        kept[self._group[needed | analysis.atoms.frozen()]] = True
        return ~kept

    def _keep(self, atoms: np.ndarray) -> None:
        self._gone[self._group[atoms]] = False

    def _make_consistent(self, round_to: int) -> None:
        """Keep more atoms until all shapes are consistent."""
        while True:
            self._balance(round_to)
            try:
                self._shrink()
                return
            except Inconsistent as reason:
                before = self.gone.sum()
                self._keep(reason.keep)
                if not before:
                    # The network moves channels in a way that is not understood.
                    self._keep_columns()
                    return
                if self.gone.sum() == before:
                    self._keep(np.arange(len(self._group)))

    def _balance(self, round_to: int) -> None:
        """Keep more atoms until groups are equal and no layer is empty."""
        rules: list[Callable[[np.ndarray], np.ndarray | None]] = [
            # Backwards: a layer that keeps only one channel then keeps one that absorbs constants.
            op.violations
            for op in reversed(self._analysis.ops)
        ]
        if round_to > 1:
            rules += [_rounding(op, round_to) for op in self._analysis.weighted_sums]
        balanced = False
        while not balanced:
            balanced = True
            for rule in rules:
                while (keep := rule(self.gone)) is not None and self.gone[keep].any():
                    self._keep(keep)
                    balanced = False

    def _shrink(self) -> None:
        """Work out every tensor's layout without the removed atoms; refuse what is inconsistent."""
        analysis, gone = self._analysis, self.gone
        found = {
            source: _less(layout, gone) for source, layout in analysis.constant_layouts.items()
        }
        self.columns.clear()
        for op in analysis.ops:
            inputs = [found[source] for source in op.sources]
            if isinstance(op, WeightedSum):
                self._find_columns(op, inputs[0])
            for index, layout in enumerate(op.reinfer(inputs, gone)):
                found[(op.node, index)] = layout

    def _keep_columns(self) -> None:
        weights = self._analysis.weights
        self.columns = {name: np.arange(len(weight.inside)) for name, weight in weights.items()}

    def _find_columns(self, op: WeightedSum, input: Layout) -> None:
        found = op.columns(input, self.gone)
        if not np.array_equal(self.columns.setdefault(op.weight.name, found), found):
            # Two uses of one weight would cut it in different ways.
            raise Inconsistent(*op.inputs)


def _less(layout: Layout, gone: np.ndarray) -> Layout:
    """The layout of a parameter without the atoms that are gone; unchanged if it has more axes."""
    if layout.ids.size != max((1, *layout.shape)):
        return layout
    ids = layout.ids.reshape(-1)
    ids = ids[~gone[ids]]
    shape = tuple(len(ids) if n > 1 else 1 for n in layout.shape)
    return Layout(shape, ids.reshape(shape) if len(ids) else layout.ids)


def _rounding(op: WeightedSum, round_to: int) -> Callable[[np.ndarray], np.ndarray | None]:
    def rule(gone: np.ndarray) -> np.ndarray | None:
        dead = op.weight.out[gone[op.weight.out]]
        missing = -(len(op.weight.out) - len(dead)) % round_to
        return dead[:missing] if missing else None

    return rule
