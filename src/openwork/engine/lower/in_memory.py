"""Tensors in the order in which memory has their axes, for operators that need no other.

Channels-last networks permute (C, H, W) to (H, W, C), work along the last axis and permute back.
What takes each number alone, or works along one axis, is as good on (C, H, W): it reads and writes
values as memory has them, and a copy gives the tensor in its own order. Nothing reads that copy if
what follows does the same, and then `remove_unread` takes it away.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch.fx import Node as FxNode

from openwork.engine.lower.context import Lowering
from openwork.engine.lower.places import Places
from openwork.engine.lower.rearrange import cut, rearranged
from openwork.runtime.node import Node
from openwork.runtime.values import Value

Made = Node | Value | list[Node] | tuple[list[Node], Value]
"""What a handler gives: nodes, of which the last makes the value; a value; or both."""


@dataclass(frozen=True)
class InMemory:
    """The numbers of a tensor as a value lies in memory.

    Attributes:
        value: its axes are those of the tensor in another order.
        order: axis of `value` for each axis of the tensor, without the batch.
        nodes: what makes `value`, if it is not there yet.
    """

    value: Value
    order: tuple[int, ...]
    nodes: list[Node] = field(default_factory=list[Node])

    @property
    def is_plain(self) -> bool:
        """Whether the axes are in the tensor's order."""
        return self.order == tuple(range(len(self.order)))

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's, without the batch."""
        return tuple(self.value.shape[axis] for axis in self.order)


def in_memory(known: Lowering, argument: Any) -> InMemory:
    """The tensor behind `argument`, with the axis first whose numbers lie farthest apart."""
    value = known.input(argument)
    places = known.places.get(value)
    plain = InMemory(value, tuple(range(len(value.shape))))
    if places is None:
        return plain
    if value not in known.in_memory:
        known.in_memory[value] = _sorted(known, value.name, places) or plain
    return known.in_memory[value]


def _sorted(known: Lowering, name: str, places: Places) -> InMemory | None:
    """None if the axes are in order, or if no order of them goes forward only."""
    long = [axis for axis, size in enumerate(places.sizes) if size > 1]
    ordered = sorted(long, key=lambda axis: -places.steps[axis])
    if ordered == long or any(places.steps[axis] <= 0 for axis in long):
        return None
    # Axes of one place may be anywhere.
    axes = [*ordered, *(axis for axis in range(len(places.sizes)) if axis not in long)]
    nodes, value = cut(known, name, places.ordered(axes))
    return InMemory(value, tuple(axes.index(axis) for axis in range(len(axes))), nodes)


def in_order(known: Lowering, argument: Any, order: tuple[int, ...]) -> InMemory:
    """The tensor behind `argument` in this order, copied if memory has another."""
    held = in_memory(known, argument)
    if held.order == order:
        return held
    value = known.input(argument)
    if order == tuple(range(len(order))):
        return InMemory(value, order)
    axes = [held.order[order.index(axis)] for axis in range(len(order))]
    nodes, ordered = cut(known, value.name, Places.of(held.value).ordered(axes))
    return InMemory(ordered, order, [*held.nodes, *nodes])


def axis_first(known: Lowering, argument: Any, axis: int) -> InMemory:
    """The tensor behind `argument` with one of its axes first, copied if need be."""
    held = in_memory(known, argument)
    if held.order[axis] == 0:
        return held
    rank = len(held.order)
    axes = [axis % rank, *(each for each in range(rank) if each != axis % rank)]
    return in_order(known, argument, tuple(axes.index(each) for each in range(rank)))


def given_back(
    known: Lowering, fx: FxNode, made: list[Node], order: tuple[int, ...] | list[int]
) -> Made:
    """What gives `fx` of the output of the last of `made`.

    Args:
        known: what is known so far.
        fx: an exported node.
        made: nodes.
        order: axis of their output for each axis of what `fx` gives.
    """
    places = Places.of(made[-1].output).ordered(order)
    again = rearranged(known, known.output(fx), places)
    return [*made, again] if isinstance(again, Node) else (made, again)


def through(
    known: Lowering,
    fx: FxNode,
    held: InMemory,
    make: Callable[[Value], Node],
    shape: tuple[int, ...] | None = None,
) -> Made:
    """The node that `make` makes with an output in the order of `held`, and what gives `fx` of it.

    Args:
        known: what is known so far.
        fx: an exported node.
        held: what it reads.
        make: given an output.
        shape: of that output; None (default) for that of `held.value`.
    """
    output, shape = known.output(fx), held.value.shape if shape is None else shape
    if held.is_plain and shape == output.shape:
        return [*held.nodes, make(output)]
    return given_back(known, fx, [*held.nodes, make(Value(shape, output.name))], held.order)


def number_by_number(
    known: Lowering, fx: FxNode, argument: Any, make: Callable[[Value, Value], Node]
) -> Made:
    """The node that `make` makes of a value and an output, on each number alone."""
    held = in_memory(known, argument)
    return through(known, fx, held, lambda output: make(held.value, output))
