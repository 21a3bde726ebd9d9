"""Exported operators that give numbers in another order, or with more around them."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch.fx import Node as FxNode

from openwork.capture.operators import NotUnderstood, arguments, operand, padding, slice_
from openwork.engine.lower.context import Lowering
from openwork.engine.lower.places import Places
from openwork.engine.lower.resample import padded_maps
from openwork.runtime.node import Node
from openwork.runtime.nodes import Concat, Pad, Rearrange, Slice
from openwork.runtime.nodes.rearrange import MOST_AXES
from openwork.runtime.values import Alias, Value, contiguous

aten = torch.ops.aten


def rearranged(known: Lowering, output: Value, places: Places) -> Node | Value:
    """What gives `output`, whose numbers are those at `places`."""
    if len(places.sizes) > MOST_AXES:
        raise NotUnderstood(f"of more than {MOST_AXES} axes")
    source = places.source
    if places.are_all:
        return source if source.shape == output.shape else Alias(source, output.shape)
    if places.sizes == output.shape:
        known.places[output] = places
    pixels, rest = contiguous(source.shape)[0], places.first % contiguous(source.shape)[0]
    beside = places.sizes[1:] == source.shape[1:] and places.steps == contiguous(source.shape)
    if beside and rest == 0:
        return Slice([source], output, places.first // pixels)
    return Rearrange([source], output, places.first, places.sizes, places.steps)


def places_of(known: Lowering, argument: Any) -> Places:
    """The numbers of the tensor behind `argument`, where they lie in a value."""
    value = known.input(argument)
    return known.places.get(value) or Places.of(value)


def _axis(places: Places, axis: int) -> int:
    """An axis of torch's as one of `places`, which leave out the batch."""
    found = axis % (len(places.sizes) + 1) - 1
    if found < 0:
        raise NotUnderstood("along the batch")
    return found


def _start(start: int, size: int) -> int:
    return min(start, size) if start >= 0 else max(0, start + size)


def _slice(known: Lowering, fx: FxNode) -> Node | Value:
    record = slice_(fx)
    value, output = known.input(record.input), known.output(fx)
    if value.shape == output.shape:
        return value
    places = places_of(known, record.input)
    axis = _axis(places, record.axis)
    start = _start(record.start, places.sizes[axis])
    return rearranged(known, output, places.part(axis, start, output.shape[axis], record.step))


def _select(known: Lowering, fx: FxNode) -> Node | Value:
    given = arguments(fx)
    return _one_place(known, fx, given["self"], given["dim"], given["index"])


def _one_place(known: Lowering, fx: FxNode, source: Any, dim: int, index: int) -> Node | Value:
    output, places = known.output(fx), places_of(known, source)
    axis = _axis(places, dim)
    places = places.part(axis, index % places.sizes[axis], 1)
    rest = [each for each in range(len(places.sizes)) if each != axis]
    return rearranged(known, output, places.ordered(rest))


def item_of_parts(known: Lowering, fx: FxNode, source: FxNode, index: int) -> Node | Value:
    """One of the tensors that `source`, a split or an unbinding, gives."""
    given = arguments(source)
    if source.target == aten.unbind.int:
        return _one_place(known, fx, given["self"], given["dim"], index)
    output, places = known.output(fx), places_of(known, given["self"])
    axis = _axis(places, given["dim"])
    sizes = [part.shape[axis + 1] for part in source.meta["val"]]
    start = [0, *accumulate(sizes)][index % len(sizes)]
    return rearranged(known, output, places.part(axis, start, output.shape[axis]))


def places_along(
    known: Lowering, source: Any, dim: int, name: str
) -> tuple[list[Node], list[Value]]:
    """What cuts `source` along an axis into its places, and what is at each; all axes stay."""
    places = places_of(known, source)
    axis = _axis(places, dim)
    nodes: list[Node] = []
    values: list[Value] = []
    for index in range(places.sizes[axis]):
        made, value = cut(known, f"{name}_{index}", places.part(axis, index, 1))
        nodes += made
        values.append(value)
    return nodes, values


def cut(known: Lowering, name: str, places: Places) -> tuple[list[Node], Value]:
    """What makes a value of these places, if anything must, and the value."""
    cut = rearranged(known, Value(places.sizes, name), places)
    return ([cut], cut.output) if isinstance(cut, Node) else ([], cut)


def _stack(known: Lowering, fx: FxNode) -> Node:
    given = arguments(fx)
    values = [known.input(tensor) for tensor in given["tensors"]]
    output = known.output(fx)
    if given["dim"] % (len(output.shape) + 1) != 1:
        raise NotUnderstood("along another axis than the channels")
    return Concat(values, output, list(values), [1] * len(values))


def _permute(known: Lowering, fx: FxNode) -> Node | Value:
    given = arguments(fx)
    return _in_order(known, fx, given["self"], given["dims"])


def _transpose(known: Lowering, fx: FxNode) -> Node | Value:
    given = arguments(fx)
    order = list(range(fx.meta["val"].dim()))
    one, other = given["dim0"], given["dim1"]
    order[one], order[other] = order[other], order[one]
    return _in_order(known, fx, given["self"], order)


def _in_order(known: Lowering, fx: FxNode, source: Any, dims: Sequence[int]) -> Node | Value:
    output, places = known.output(fx), places_of(known, source)
    batch, *axes = (dim % len(dims) for dim in dims)
    if batch:
        raise NotUnderstood("with the batch at another axis")
    return rearranged(known, output, places.ordered([axis - 1 for axis in axes]))


def _flip(known: Lowering, fx: FxNode) -> Node | Value:
    given = arguments(fx)
    output, places = known.output(fx), places_of(known, given["self"])
    for dim in given["dims"]:
        axis = _axis(places, dim)
        size = places.sizes[axis]
        places = places.part(axis, size - 1, size, -1)
    return rearranged(known, output, places)


def _expand(known: Lowering, fx: FxNode) -> Node | Value:
    output, places = known.output(fx), places_of(known, operand(fx))
    if len(places.sizes) != len(output.shape):
        raise NotUnderstood("with more axes")
    return rearranged(known, output, places.stretched(output.shape))


def _pixel_shuffle(known: Lowering, fx: FxNode) -> Node | Value:
    given = arguments(fx)
    output, places = known.output(fx), _maps(known, given["self"])
    by = given["upscale_factor"]
    parts = places.split(0, places.sizes[0] // by**2, by, by)
    return rearranged(known, output, parts.ordered([0, 3, 1, 4, 2]))


def _pixel_unshuffle(known: Lowering, fx: FxNode) -> Node | Value:
    given = arguments(fx)
    output, places = known.output(fx), _maps(known, given["self"])
    by = given["downscale_factor"]
    height, width = output.shape[1:]
    parts = places.split(2, width, by).split(1, height, by)
    return rearranged(known, output, parts.ordered([0, 2, 4, 1, 3]))


def _channel_shuffle(known: Lowering, fx: FxNode) -> Node | Value:
    given = arguments(fx)
    output, places = known.output(fx), places_of(known, given["self"])
    groups = given["groups"]
    parts = places.split(0, groups, places.sizes[0] // groups)
    return rearranged(known, output, parts.ordered([1, 0, *range(2, len(parts.sizes))]))


def _maps(known: Lowering, argument: Any) -> Places:
    places = places_of(known, argument)
    if len(places.sizes) != 3:
        raise NotUnderstood("not a batch of feature maps")
    return places


def _pad(known: Lowering, fx: FxNode) -> Node | Value | list[Node]:
    record = padding(fx)
    value, output = known.input(record.input), known.output(fx)
    axes = len(value.shape)
    flat = [*record.widths, *[0] * (2 * axes - len(record.widths))]
    if any(flat[2 * axes :]):
        raise NotUnderstood("around the batch")
    # Given for the last axis first.
    widths = [(flat[2 * axis], flat[2 * axis + 1]) for axis in reversed(range(axes))]
    if record.mode != "constant":
        return padded_maps(value, output, widths, record.mode)
    around = [pair for pair in widths if pair != (0, 0)]
    if not around:
        return value
    if around == [widths[0]] and min(widths[0]) >= 0 and record.value == 0:
        return _with_channels(value, output, *widths[0])
    return _with_border(known, record.input, output, widths, float(record.value))


def _with_channels(value: Value, output: Value, before: int, after: int) -> Node:
    sides = (None, before), (value, value.shape[0]), (None, after)
    parts = [(part, channels) for part, channels in sides if channels]
    return Concat([value], output, [part for part, _ in parts], [count for _, count in parts])


def _with_border(
    known: Lowering, argument: Any, output: Value, widths: list[tuple[int, int]], number: float
) -> Node | Value | list[Node]:
    """A constant around what is left where negative widths took places away."""
    places = inner = places_of(known, argument)
    for axis, (before, after) in enumerate(widths):
        size = inner.sizes[axis] + min(before, 0) + min(after, 0)
        if size < 1:
            raise NotUnderstood("with nothing of the input left")
        inner = inner.part(axis, max(-before, 0), size)
    front = tuple(max(before, 0) for before, _ in widths)
    if inner.sizes == output.shape:
        return rearranged(known, output, inner)
    if inner == places:
        return Pad([known.input(argument)], output, front, number)
    made, source = cut(known, f"{output.name}_inside", inner)
    return [*made, Pad([source], output, front, number)]


REARRANGED: dict[Any, Callable[[Lowering, FxNode], Node | Value | list[Node]]] = {
    aten.slice.Tensor: _slice,
    aten.select.int: _select,
    aten.stack.default: _stack,
    aten.permute.default: _permute,
    aten.transpose.int: _transpose,
    aten.flip.default: _flip,
    aten.expand.default: _expand,
    aten.expand_as.default: _expand,
    aten.pixel_shuffle.default: _pixel_shuffle,
    aten.pixel_unshuffle.default: _pixel_unshuffle,
    aten.channel_shuffle.default: _channel_shuffle,
    aten.pad.default: _pad,
    aten.constant_pad_nd.default: _pad,
}
