"""What operators do to atoms: `Movement` passes them on, `Combine` makes new ones from several.

An op also infers the layouts of its results once more when atoms are removed from its sources.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import final

import numpy as np
from torch.fx import Node

from openwork.flow.atoms import Atoms, Layout

__all__ = ["Inconsistent", "Movement", "Op"]

Layouts = list[Layout]
# A tensor of the graph: the node that makes it, and which of its results it is.
Source = tuple[Node, int]
# From the layouts of an op's sources, those of its results.
Apply = Callable[[Layouts], Layouts]
# From the layouts of an op's sources, the result's shape and the n atoms (..., n) that each of its
# numbers is computed from; (...) broadcasts to that shape.
Align = Callable[[Layouts], tuple[tuple[int, ...], np.ndarray]]


class Inconsistent(Exception):
    """The removal would change what the network computes; some atoms of `keep` must be kept."""

    def __init__(self, *keep: Layout) -> None:
        super().__init__()
        self.keep = np.unique(np.concatenate([layout.ids.reshape(-1) for layout in keep]))


class Op(ABC):
    """One operator.

    Attributes:
        node: of the graph.
        sources: the tensors that it reads.
        inputs: the layouts of `sources`.
        outputs: the layouts of its results.
    """

    node: Node
    sources: Sequence[Source]
    inputs: Layouts
    outputs: Layouts

    def propagate_liveness(self, atoms: Atoms, live: np.ndarray) -> None:
        """Mark in `live` (n,) atoms that live results depend on; called on the last op first."""
        return

    def violations(self, gone: np.ndarray) -> np.ndarray | None:
        """Atoms to keep, since without them a count would not fit; None if all counts fit.

        Args:
            gone: (n,) bool: atoms that are to be removed.
        """
        return None

    @abstractmethod
    def reinfer(self, inputs: Layouts, gone: np.ndarray) -> Layouts:
        """The layouts of the results without removed atoms.

        Args:
            inputs: the layouts of the sources without these atoms.
            gone: (n,) bool: the removed atoms.

        Raises:
            Inconsistent: the results would not be those of the original without these atoms.
        """


@final
class Movement(Op):
    """Atoms are passed on to other places: views, slices, concatenations.

    Args:
        node, sources, inputs: as in `Op`.
        apply: gives the layouts of the results.
        rows: (m, n) ids; each of the m rows must keep the same number. None: no such rule.
    """

    def __init__(
        self,
        node: Node,
        sources: Sequence[Source],
        inputs: Layouts,
        apply: Apply,
        rows: np.ndarray | None = None,
    ) -> None:
        self.node, self.sources, self.inputs, self._apply = node, sources, inputs, apply
        self.outputs = apply(inputs)
        self.rows = rows

    def violations(self, gone: np.ndarray) -> np.ndarray | None:
        return None if self.rows is None else balance(self.rows, gone)

    def reinfer(self, inputs: Layouts, gone: np.ndarray) -> Layouts:
        try:
            outputs = self._apply(inputs)
        except (RuntimeError, ValueError, IndexError):
            raise Inconsistent(*self.inputs) from None
        for before, after in zip(self.outputs, outputs, strict=True):
            if _emptied(before.shape, after.shape) or not np.isin(after.ids, before.ids).all():
                raise Inconsistent(*self.inputs)
        return outputs


@final
class Combine(Op):
    """Each number of the result is computed from n atoms, and the same atoms give the same number.

    Args:
        atoms: to which the result's are added.
        node, sources, inputs: as in `Op`.
        align: says which atoms each number is computed from.
        values: from (k, n) atoms, the values (k,), NaN where unknown, and the profiles of what is
            computed from them.
        shared: which of the n are one number for all channels, which is never removed.
    """

    def __init__(
        self,
        atoms: Atoms,
        node: Node,
        sources: Sequence[Source],
        inputs: Layouts,
        align: Align,
        values: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | int]],
        shared: Sequence[int] = (),
    ) -> None:
        self.node, self.sources, self.inputs, self._align = node, sources, inputs, align
        shape, made_of = align(inputs)
        self._rows, codes = _Rows.of(made_of)
        self.ids = atoms.new(*values(self._rows.rows))
        self.outputs = [Layout(shape, self.ids[codes])]
        for index, column in enumerate(self._rows.rows.T):
            if index in shared:
                atoms.freeze(column)
            else:
                atoms.couple(column, self.ids)

    def propagate_liveness(self, atoms: Atoms, live: np.ndarray) -> None:
        needed = live[self.ids] & ~atoms.is_constant(self.ids)
        live[self._rows.rows[needed]] = True

    def reinfer(self, inputs: Layouts, gone: np.ndarray) -> Layouts:
        try:
            shape, made_of = self._align(inputs)
        except (RuntimeError, ValueError, IndexError):
            raise Inconsistent(*self.inputs) from None
        codes = self._rows.find(made_of)
        if codes is None or _emptied(self.outputs[0].shape, shape):
            raise Inconsistent(*self.inputs)
        return [Layout(shape, self.ids[codes])]


def _emptied(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Whether an axis is empty now and was not before."""
    return any(now == 0 != was for was, now in zip(before, after, strict=True))


def balance(rows: np.ndarray, gone: np.ndarray) -> np.ndarray | None:
    """Atoms to keep so that each of `rows` (m, n) keeps the same number; None if they all do."""
    missing = gone[rows]
    fewest = missing.sum(1).min()
    surplus = missing & (np.cumsum(missing, 1) > fewest)
    return rows[surplus] if surplus.any() else None


class _Rows:
    """Distinct rows of atoms, and the number of each."""

    def __init__(self, rows: np.ndarray, tables: list[np.ndarray]) -> None:
        self.rows = rows
        self._tables = tables

    @classmethod
    def of(cls, made_of: np.ndarray) -> tuple["_Rows", np.ndarray]:
        """The distinct rows of `made_of` (..., n), and the number (...) of each of its rows."""
        rows = made_of.reshape(-1, made_of.shape[-1]).astype(np.int64)
        codes = np.zeros(len(rows), dtype=np.int64)
        tables = []
        for column in rows.T:
            table, codes = np.unique((codes << 32) | column, return_inverse=True)
            tables.append(table)
        _, first = np.unique(codes, return_index=True)
        return cls(rows[first], tables), codes.reshape(made_of.shape[:-1])

    def find(self, made_of: np.ndarray) -> np.ndarray | None:
        """The number (...) of each row of `made_of` (..., n); None if there is a new row."""
        rows = made_of.reshape(-1, made_of.shape[-1]).astype(np.int64)
        if rows.shape[1] != len(self._tables):
            return None
        codes = np.zeros(len(rows), dtype=np.int64)
        for table, column in zip(self._tables, rows.T, strict=True):
            keys = (codes << 32) | column
            codes = np.minimum(np.searchsorted(table, keys), len(table) - 1)
            if (table[codes] != keys).any():
                return None
        return codes.reshape(made_of.shape[:-1])
