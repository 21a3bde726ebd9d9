"""Operators that move numbers: join, cut, pad, pick and reorder them."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from openwork.interchange.builder import Builder, item, rank_of, with_rank
from openwork.interchange.onnx_node import OnnxNode
from openwork.interchange.values import NotReadable, ShapeNumbers, Value, as_sizes

Handler = Callable[[Builder, OnnxNode], Any]


def concat(net: Builder, node: OnnxNode) -> Value:
    """`Concat`."""
    parts = [node.input(index) for index in range(len(node.inputs))]
    if node.are_sizes():
        sizes = [as_sizes(part) for part in parts]
        items = tuple(each for part in sizes if part for each in part.items)
        return ShapeNumbers(items, False, sizes[0].dtype)  # type: ignore[union-attr]
    if len(parts) == 1:
        return parts[0]
    found = net.call(torch.cat, parts, node.attribute("axis"))
    return with_rank(found, max(map(rank_of, parts)))


def split(net: Builder, node: OnnxNode) -> Any:
    """`Split`."""
    x, axis, sizes = node.input(0), node.attribute("axis", 0), node.ints(1, "split")
    if isinstance(x, ShapeNumbers):
        given = sizes or [-(-len(x.items) // node.outputs)] * node.outputs
        ends = [sum(given[: index + 1]) for index in range(len(given))]
        return tuple(
            ShapeNumbers(x.items[end - count : end], False, x.dtype)
            for end, count in zip(ends, given, strict=True)
        )
    count = node.attribute("num_outputs", node.outputs)
    found = net.call(pieces, x, sizes or [], count, axis)
    if isinstance(found, tuple):
        return found
    return tuple(
        with_rank(net.number(item, found, index), rank_of(x)) for index in range(node.outputs)
    )


def pieces(x: torch.Tensor, sizes: list[int], count: int, axis: int) -> Any:
    """`x` cut into pieces of `sizes`, or into `count` of one size, the last one smaller."""
    return torch.split(x, sizes or -(-x.shape[axis] // count), axis)


def slice_(net: Builder, node: OnnxNode) -> Value:
    """`Slice`."""
    x, starts, ends = node.input(0), node.sizes(1), node.sizes(2)
    axes = node.ints(3) or list(range(len(starts)))
    steps = node.ints(4) or [1] * len(starts)
    if len({len(starts), len(ends), len(axes), len(steps)}) > 1 or 0 in steps:
        raise NotReadable("its starts, ends, axes and steps do not go together")
    if isinstance(x, ShapeNumbers) and axes in ([0], [-1]):
        return ShapeNumbers(x.items[starts[0] : ends[0] : steps[0]], False, x.dtype)
    return with_rank(net.call(cut, x, starts, ends, axes, steps), rank_of(x))


def cut(
    x: torch.Tensor, starts: list[Any], ends: list[Any], axes: list[int], steps: list[int]
) -> torch.Tensor:
    """The places from `starts` to before `ends` along `axes`; negative ones count from the end."""
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index: list[Any] = [slice(None)] * (axis % x.dim())
        if step > 0:
            # Far behind the end is the end; as a number it would bind what is traced to sizes.
            stop = None if isinstance(end, int) and end >= 2**31 - 1 else end
            x = x[(*index, slice(start, stop, step))]
            continue
        size = x.shape[axis]
        first = min(start + size if start < 0 else start, size - 1)
        last = max(end + size if end < 0 else end, -1)
        places = torch.arange(first, last, step) if first > last else torch.arange(0)
        x = x.index_select(axis, places)
    return x


def pad(net: Builder, node: OnnxNode) -> Value:
    """`Pad`."""
    mode = node.text("mode", "constant", ("constant", "reflect", "edge", "wrap"))
    x, widths = node.input(0), node.ints(1, "pads")
    axes = node.ints(3) if len(node.inputs) > 3 else None
    value = node.number(2, 0)
    if widths is None or len(widths) % 2:
        raise NotReadable(f"`pads` are {widths}")
    return with_rank(net.call(surrounded, x, widths, axes or [], mode, value), rank_of(x))


def surrounded(
    x: torch.Tensor, widths: list[int], axes: list[int], mode: str, value: Any
) -> torch.Tensor:
    """`x` with padding: all widths before, then all behind, for `axes` or for all axes."""
    half = len(widths) // 2
    axes = [axis % x.dim() for axis in axes] or list(range(half))
    pairs = {axis: (widths[n], widths[half + n]) for n, axis in enumerate(axes)}
    if mode == "constant" or min(widths) < 0:
        flat = [width for axis in reversed(range(x.dim())) for width in pairs.get(axis, (0, 0))]
        while flat and flat[-2:] == [0, 0]:
            del flat[-2:]
        return F.pad(x, flat, "constant", value) if flat else x
    padded = [axis for axis, pair in pairs.items() if any(pair)]
    spatial = x.dim() - 2
    if padded and min(padded) >= 2 and spatial <= 3:
        flat = [width for axis in reversed(range(2, x.dim())) for width in pairs.get(axis, (0, 0))]
        return F.pad(x, flat, {"edge": "replicate", "wrap": "circular"}.get(mode, mode))
    for axis in padded:
        x = x.index_select(axis, _sources(x.shape[axis], *pairs[axis], mode))
    return x


def _sources(size: int, before: int, after: int, mode: str) -> torch.Tensor:
    """Where the numbers of a padded axis come from."""
    places = torch.arange(-before, size + after)
    if mode == "edge":
        return places.clamp(0, size - 1)
    if mode == "wrap":
        return places % size
    period = max(2 * (size - 1), 1)
    folded = places % period
    return torch.where(folded >= size, period - folded, folded)


def transpose(net: Builder, node: OnnxNode) -> Value:
    """`Transpose`; without an order, of all axes."""
    x, order = node.input(0), node.attribute("perm")
    if order is None:
        return with_rank(net.call(reversed_axes, x), rank_of(x))
    return with_rank(net.call(torch.permute, x, list(order)), len(order))


def reversed_axes(x: torch.Tensor) -> torch.Tensor:
    """The axes in reverse order."""
    return x.permute(*reversed(range(x.dim())))


def gather(net: Builder, node: OnnxNode) -> Value:
    """`Gather`."""
    x, places, axis = node.input(0), node.input(1), node.attribute("axis", 0)
    chosen = as_sizes(places)
    if isinstance(x, ShapeNumbers) and chosen is not None and axis in (0, -1):
        return ShapeNumbers(tuple(x.items[each] for each in chosen.items), chosen.scalar, x.dtype)
    if chosen is not None and chosen.scalar:
        # One place: the axis goes.
        return with_rank(net.call(torch.select, x, axis, chosen.items[0]), max(rank_of(x) - 1, 0))
    return net.call(gathered, x, places, axis)


def gathered(x: torch.Tensor, places: torch.Tensor, axis: int) -> torch.Tensor:
    """The places along an axis, in the shape of `places`."""
    axis = axis % x.dim()
    places = places.long()
    places = torch.where(places < 0, places + x.shape[axis], places)
    found = x.index_select(axis, places.reshape(-1))
    return found.reshape([*x.shape[:axis], *places.shape, *x.shape[axis + 1 :]])


def gather_elements(net: Builder, node: OnnxNode) -> Value:
    """`GatherElements`."""
    return net.call(picked, node.input(0), node.input(1), node.attribute("axis", 0))


def picked(x: torch.Tensor, places: torch.Tensor, axis: int) -> torch.Tensor:
    """For each number of the result a place along an axis."""
    places = places.long()
    places = torch.where(places < 0, places + x.shape[axis], places)
    return torch.gather(x, axis, places)


def depth_to_space(net: Builder, node: OnnxNode) -> Value:
    """`DepthToSpace`."""
    mode = node.text("mode", "DCR", ("DCR", "CRD"))
    block = node.attribute("blocksize")
    if not block or block < 1:
        raise NotReadable(f"`blocksize` is {block}")
    if mode == "CRD":
        return with_rank(net.call(F.pixel_shuffle, node.input(0), block), 4)
    return with_rank(net.call(to_space, node.input(0), block), 4)


def to_space(x: torch.Tensor, block: int) -> torch.Tensor:
    """Channels to blocks of pixels; the place within a block varies slowest among channels."""
    n, channels, height, width = x.shape
    apart = x.reshape(n, block, block, channels // block**2, height, width)
    mixed = apart.permute(0, 3, 4, 1, 5, 2)
    return mixed.reshape(n, channels // block**2, height * block, width * block)


def space_to_depth(net: Builder, node: OnnxNode) -> Value:
    """`SpaceToDepth`."""
    block = node.attribute("blocksize")
    if not block or block < 1:
        raise NotReadable(f"`blocksize` is {block}")
    mode = node.text("mode", "DCR", ("DCR", "CRD"))
    function = F.pixel_unshuffle if mode == "CRD" else to_depth
    return with_rank(net.call(function, node.input(0), block), 4)


def to_depth(x: torch.Tensor, block: int) -> torch.Tensor:
    """The inverse of `to_space`."""
    n, channels, height, width = x.shape
    apart = x.reshape(n, channels, height // block, block, width // block, block)
    mixed = apart.permute(0, 3, 5, 1, 2, 4)
    return mixed.reshape(n, channels * block**2, height // block, width // block)


def tile(net: Builder, node: OnnxNode) -> Value:
    """`Tile`."""
    return with_rank(net.call(repeated, node.input(0), node.sizes(1)), rank_of(node.input(0)))


def repeated(x: torch.Tensor, times: list[Any]) -> torch.Tensor:
    """`x` that often along each axis."""
    return x.repeat(times)


def triangle(net: Builder, node: OnnxNode) -> Value:
    """`Trilu`."""
    function = torch.triu if node.attribute("upper", 1) else torch.tril
    x = node.input(0)
    return with_rank(net.call(function, x, node.number(1, 0)), rank_of(x))


def cumulated(net: Builder, node: OnnxNode) -> Value:
    """`CumSum`."""
    flags = bool(node.attribute("exclusive", 0)), bool(node.attribute("reverse", 0))
    return net.call(running_sum, node.input(0), node.number(1), *flags)


def running_sum(x: torch.Tensor, axis: int, exclusive: bool, backwards: bool) -> torch.Tensor:
    """The sum up to each place, or before it; from the end, where `backwards`."""
    source = x.flip(axis) if backwards else x
    found = source.cumsum(axis, dtype=x.dtype)
    if exclusive:
        found = found - source
    return found.flip(axis) if backwards else found


MOVEMENT: dict[str, Handler] = {
    "Concat": concat,
    "Split": split,
    "Slice": slice_,
    "Pad": pad,
    "Transpose": transpose,
    "Gather": gather,
    "GatherElements": gather_elements,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Tile": tile,
    "Trilu": triangle,
    "CumSum": cumulated,
}
