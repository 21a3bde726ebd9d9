"""Which atoms go: all that are dead, less those that must stay for the shapes to work out."""

from collections.abc import Callable

import numpy as np

from openwork.errors import VerificationError
from openwork.flow.analysis import Analysis
from openwork.flow.atoms import Layout
from openwork.flow.op import Inconsistent
from openwork.flow.weighted_sum import WeightedSum


class Selection:
    """Atoms that are taken away, and what tensors look like without them.

    Args:
        analysis: of the network.
        keep: atoms that must stay, with all that are tied to them.
        round_to: counts of channels that stay are multiples of it where enough of them are there.

    Attributes:
        dead: (n,) bool: atoms that could go if counts did not matter.
        removable: (n,) bool: those that could go if `keep` was empty: groups stay equal, layers
            have a channel, and constants one that bears them.
        columns: qualified name of a weight -> the old input channel at each new one.
    """

    def __init__(self, analysis: Analysis, keep: np.ndarray, round_to: int = 1) -> None:
        self._analysis = analysis
        self._class = analysis.atoms.coupled_groups()
        self._gone = self._dead()
        self.dead = self.gone
        self.columns: dict[str, np.ndarray] = {}
        self._even_out(round_to=1)
        self.removable = self.gone
        self._keep(keep)
        self._settle(round_to)

    @property
    def gone(self) -> np.ndarray:
        """(n,) bool: atoms that are taken away."""
        return self._gone[self._class]

    def reasons(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) bool each: whether an output depends on the atom or one that goes with it, and
        whether one of those is a constant that is not zero."""
        analysis = self._analysis
        read, constant = np.zeros_like(self._gone), np.zeros_like(self._gone)
        read[self._class[analysis.live]] = True
        constant[self._class[analysis.live & (np.nan_to_num(analysis.atoms.value) != 0)]] = True
        return read[self._class], constant[self._class]

    def _dead(self) -> np.ndarray:
        """By class: whether all its atoms are constant or unread, and none is frozen."""
        analysis = self._analysis
        needed = analysis.live & np.isnan(analysis.atoms.value)
        stays = np.zeros(len(self._class), dtype=bool)
        stays[self._class[needed | analysis.atoms.frozen()]] = True
        return ~stays

    def _keep(self, atoms: np.ndarray) -> None:
        self._gone[self._class[atoms]] = False

    def _settle(self, round_to: int) -> None:
        """Give back atoms until everything fits."""
        while True:
            self._even_out(round_to)
            try:
                self._shrink()
                return
            except Inconsistent as reason:
                before = self.gone.sum()
                self._keep(reason.keep)
                if not before:
                    raise VerificationError(
                        "shapes do not work out with every channel in place: the network moves "
                        "channels in a way that is not understood; the original is unchanged"
                    ) from None
                if self.gone.sum() == before:
                    self._keep(np.arange(len(self._class)))

    def _even_out(self, round_to: int) -> None:
        rules: list[Callable[[np.ndarray], np.ndarray | None]] = [
            # The last first: where one channel of a layer stays, it is one that bears constants.
            op.violations
            for op in reversed(self._analysis.ops)
        ]
        if round_to > 1:
            rules += [_rounding(op, round_to) for op in self._analysis.weighted_sums]
        settled = False
        while not settled:
            settled = True
            for rule in rules:
                while (keep := rule(self.gone)) is not None and self.gone[keep].any():
                    self._keep(keep)
                    settled = False

    def _shrink(self) -> None:
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

    def _find_columns(self, op: WeightedSum, input: Layout) -> None:
        found = op.columns(input, self.gone)
        if not np.array_equal(self.columns.setdefault(op.weight.name, found), found):
            # Two uses of one weight that want it cut in different ways.
            raise Inconsistent(*op.inputs)


def _less(layout: Layout, gone: np.ndarray) -> Layout:
    """The layout of a parameter without the atoms that are gone; it has one axis, or stays."""
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
