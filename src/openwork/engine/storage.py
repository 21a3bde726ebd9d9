"""Values that share memory: what is concatenated, sliced, or overwritten where it lies."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from openwork.engine.graph import Add, Affine, Concat, Conv, Gate, Node, Slice, Value, root


@dataclass(frozen=True)
class Part:
    """Where a value lies: in each image of `whole`, from float `first` on."""

    whole: Value
    first: int


# What was joined so far: (id, channels) of each part -> the value that holds them.
_Joined = dict[tuple[tuple[int, int], ...], Value]


class Storage:
    """Which of the values that `nodes` make lie within others.

    Producers write straight into their place in a concatenation, slices are read where they are,
    and sums overwrite an operand that nothing reads again.

    Args:
        nodes: consecutive steps; none of their values is an alias.
        own: ids of values that cannot move, since they are inputs or outputs of the whole run.
    """

    def __init__(self, nodes: Sequence[Node], own: Collection[int]) -> None:
        self._own = own
        self._parts: dict[int, Part] = {}
        # Ids of values that hold others, or lie beside others: nothing may be written over them.
        self._shared: set[int] = set()
        self._made = {id(root(node.output)) for node in nodes}
        self._last_read = {
            id(root(value)): step for step, node in enumerate(nodes) for value in node.inputs
        }
        joined: _Joined = {}
        for node in nodes:
            if isinstance(node, Slice):
                self._put(node.output, node.inputs[0], node.first * pixels(node))
            elif isinstance(node, Concat):
                self._join(node, joined)
        for step, node in enumerate(nodes):
            self._overwrite(step, node)

    def find(self, value: Value) -> Part:
        """The memory of `value`; its own, from 0 on, if it lies in no other."""
        part = Part(root(value), 0)
        while id(part.whole) in self._parts:
            outer = self._parts[id(part.whole)]
            part = Part(outer.whole, outer.first + part.first)
        return part

    def _join(self, node: Concat, joined: _Joined) -> None:
        parts = [None if part is None else root(part) for part in node.parts]
        # With their channels: zeros of any number of channels are the same None.
        key = tuple(zip(map(id, parts), node.channels, strict=True))
        # One that begins with all of an earlier one, as dense blocks do, takes that in whole.
        for length in range(len(key) - 1, 1, -1):
            if key[:length] in joined:
                self._put(joined[key[:length]], node.output, 0)
                break
        joined[key] = root(node.output)
        for part, first in places(node):
            if part is not None and sum(root(part) is other for other in parts) == 1:
                self._put(part, node.output, first)

    def _put(self, value: Value, whole: Value, first: int) -> None:
        inner = id(root(value))
        if inner in self._own or inner not in self._made or inner in self._parts:
            return
        self._parts[inner] = Part(root(whole), first)
        self._shared |= {inner, id(root(whole))}

    def _overwrite(self, step: int, node: Node) -> None:
        output = root(node.output)
        if {id(output)} & (self._shared | set(self._own)):
            return
        for value in _overwritable(node):
            held = self.find(value).whole
            free = id(held) in self._made and not {id(held)} & (self._shared | set(self._own))
            over = self._last_read[id(root(value))] == step
            if free and over and held.floats == output.floats and id(held) != id(output):
                self._parts[id(output)] = Part(held, 0)
                return


def _overwritable(node: Node) -> Sequence[Value]:
    """Inputs that `node` reads only where it then writes."""
    if isinstance(node, Conv):
        return [v for v in node.inputs[1:] if root(v) is not root(node.inputs[0])]
    if isinstance(node, Gate):
        return [v for v in node.inputs[:1] if root(v) is not root(node.inputs[1])]
    return node.inputs if isinstance(node, Add | Affine) else ()


def pixels(node: Node) -> int:
    """Floats of one channel of the output."""
    return node.output.floats // node.output.shape[0]


def places(node: Concat) -> Iterator[tuple[Value | None, int]]:
    """Each part, and its first float in an image of the output."""
    first = 0
    for part, channels in zip(node.parts, node.channels, strict=True):
        yield part, first
        first += channels * pixels(node)
