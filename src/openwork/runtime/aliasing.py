"""Values that share memory: what is concatenated, sliced, or overwritten where it lies."""

from collections.abc import Collection, Sequence

from openwork.runtime.node import Node
from openwork.runtime.values import Value, View, root

# Earlier concatenations: (value, floats) of each piece -> the output.
_Joined = dict[tuple[tuple[Value | None, int], ...], Value]


class Aliasing:
    """Which of the values that `nodes` make lie within others.

    Producers write straight into their place in a concatenation, slices are read where they are,
    and sums overwrite an operand that nothing reads later.

    Args:
        nodes: consecutive steps; none of their outputs is an alias.
        fixed: values that cannot move, since they are inputs or outputs of the whole run.
    """

    def __init__(self, nodes: Sequence[Node], fixed: Collection[Value]) -> None:
        self._fixed = set(fixed)
        self._views: dict[Value, View] = {}
        # Values that hold others, or lie beside others: nothing may be written over them.
        self._shared: set[Value] = set()
        self._made = {root(node.output) for node in nodes}
        self._last_read = {
            root(value): step for step, node in enumerate(nodes) for value in node.inputs
        }
        joined: _Joined = {}
        for node in nodes:
            part_of = node.part_of()
            if part_of is not None:
                self._put(node.output, *part_of)
            pieces = [(None if v is None else root(v), floats) for v, floats in node.pieces()]
            if pieces:
                self._join(root(node.output), tuple(pieces), joined)
        for step, node in enumerate(nodes):
            self._overwrite(step, node)

    def view(self, value: Value) -> View:
        """Where `value` lies: from float 0 of itself if it is not part of another."""
        view = View(root(value), 0)
        while view.whole in self._views:
            outer = self._views[view.whole]
            view = View(outer.whole, outer.first + view.first)
        return view

    def _join(
        self, output: Value, pieces: tuple[tuple[Value | None, int], ...], joined: _Joined
    ) -> None:
        # As in dense blocks: a concatenation that begins with all of an earlier one contains it.
        for length in range(len(pieces) - 1, 1, -1):
            if pieces[:length] in joined:
                self._put(joined[pieces[:length]], output, 0)
                break
        joined[pieces] = output
        values = [value for value, _ in pieces]
        first = 0
        for value, floats in pieces:
            if value is not None and values.count(value) == 1:
                self._put(value, output, first)
            first += floats

    def _put(self, value: Value, whole: Value, first: int) -> None:
        inner, outer = root(value), root(whole)
        if inner in self._fixed or inner not in self._made or inner in self._views:
            return
        self._views[inner] = View(outer, first)
        self._shared |= {inner, outer}

    def _overwrite(self, step: int, node: Node) -> None:
        output = root(node.output)
        immovable = self._shared | self._fixed
        if output in immovable:
            return
        for value in node.overwritable():
            whole = self.view(value).whole
            free = whole in self._made and whole not in immovable
            unread = self._last_read[root(value)] == step
            if free and unread and whole.floats == output.floats and whole is not output:
                self._views[output] = View(whole, 0)
                return
