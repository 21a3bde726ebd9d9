"""Exported operators that move numbers to other places: views, slices, concatenations."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.fx import Node

from openwork.capture.nodes import arguments
from openwork.flow.atoms import Layout
from openwork.flow.context import Unknown, Walk, concrete, shapes
from openwork.flow.op import Layouts, Move
from openwork.flow.reshape import reshaped, split_rows

aten = torch.ops.aten


def _same(walk: Walk, node: Node) -> Move:
    """The tensor itself."""
    return walk.move(node, node.args[:1], lambda layouts: layouts)


def _cast(walk: Walk, node: Node) -> Move:
    """Another dtype, unless it rounds."""
    held = node.meta["val"]
    if held.dtype not in (torch.float32, torch.float64):
        raise Unknown
    return _same(walk, node)


def _dropout(walk: Walk, node: Node) -> Move:
    if node.args[2]:
        raise Unknown
    return _same(walk, node)


def _by_operator(walk: Walk, node: Node) -> Move:
    """The operator itself, on ids in place of numbers."""
    rest, kwargs = concrete((node.args[1:], node.kwargs))
    target: Any = node.target
    walk.settle(node.args[0])

    def apply(layouts: Layouts) -> Layouts:
        found = target(_ids(layouts[0]), *rest, **kwargs)
        return _layouts(found if isinstance(found, list | tuple) else [found])

    return walk.move(node, node.args[:1], apply)


def _view(walk: Walk, node: Node) -> Move:
    """Another shape for the same numbers; what stays of an axis is found again in the new one."""
    before, after = walk.input(node.args[0]).shape, shapes(node)[0]
    walk.settle(node.args[0])

    def apply(layouts: Layouts) -> Layouts:
        size = reshaped(before, after, layouts[0].shape)
        return [Layout.of(layouts[0].full().reshape(size))]

    move = walk.move(node, node.args[:1], apply)
    move.rows = split_rows(before, after, move.outputs[0])
    return move


def _expand(walk: Walk, node: Node) -> Move:
    before, after = walk.input(node.args[0]).shape, shapes(node)[0]
    new = len(after) - len(before)

    def apply(layouts: Layouts) -> Layouts:
        (layout,) = layouts
        old = zip(after[new:], before, layout.shape, strict=True)
        shape = (*after[:new], *(n if was == 1 else now for n, was, now in old))
        return [Layout(shape, layout.ids.reshape((1,) * new + layout.ids.shape))]

    return walk.move(node, node.args[:1], apply)


def _cat(walk: Walk, node: Node) -> Move:
    parts: Any = node.args[0]
    axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)

    def apply(layouts: Layouts) -> Layouts:
        return [_joined(layouts, int(axis) % len(layouts[0].shape))]  # type: ignore[arg-type]

    return walk.move(node, parts, apply)


def _stack(walk: Walk, node: Node) -> Move:
    parts: Any = node.args[0]
    axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)

    def apply(layouts: Layouts) -> Layouts:
        place = int(axis) % (len(layouts[0].shape) + 1)  # type: ignore[arg-type]
        grown = [
            Layout((*part.shape[:place], 1, *part.shape[place:]), np.expand_dims(part.ids, place))
            for part in layouts
        ]
        return [_joined(grown, place)]

    return walk.move(node, parts, apply)


def _joined(layouts: Layouts, axis: int) -> Layout:
    shapes = [part.shape for part in layouts]
    rest = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(rest) > 1:
        raise ValueError("parts of different sizes")
    sizes = [np.array(part.ids.shape) for part in layouts]
    common = np.max(sizes, axis=0)
    ids = []
    for part in layouts:
        common[axis] = part.shape[axis]
        ids.append(np.broadcast_to(part.ids, common))
    shape = list(shapes[0])
    shape[axis] = sum(size[axis] for size in shapes)
    joined = Layout.of(np.concatenate(ids, axis))
    return Layout(tuple(shape), joined.ids)


def _chunk(walk: Walk, node: Node) -> Move:
    """Equal parts, which must stay equal."""
    x, count, axis = arguments(node, None, None, 0)
    layout = walk.input(x)
    place = int(axis) % len(layout.shape)
    channels = layout.along(place)
    if not layout.varies(place):
        return _by_operator(walk, node)
    if channels is None or len(channels) % count:
        return _parts(walk, node)
    move = _by_operator(walk, node)
    move.rows = channels.reshape(count, -1)
    return move


def _channel_shuffle(walk: Walk, node: Node) -> Move:
    """Groups of channels, which must stay equal, dealt out in turns."""
    channels = walk.input(node.args[0]).along(1)
    move = _by_operator(walk, node)
    if channels is not None:
        move.rows = channels.reshape(int(concrete(node.args[1])), -1)
    return move


def _parts(walk: Walk, node: Node) -> Move:
    """Parts at fixed places: what is cut into them stays as it is."""
    layout = walk.input(node.args[0])
    axis = _axis(node) % len(layout.shape)
    others = [a for a in range(len(layout.shape)) if a != axis and layout.varies(a)]
    move = _by_operator(walk, node)
    whole = len(move.outputs) == 1 and move.outputs[0].shape == layout.shape
    if layout.varies(axis) and not others and not whole:
        walk.atoms.freeze(layout.ids)
    return move


def _selected(walk: Walk, node: Node) -> Move:
    """Places along an axis that the code names: what is picked from among them stays as it is."""
    x, axis, places = node.args
    layout, index = walk.input(x), walk.data(places)
    if index is None or index.dim() != 1:
        raise Unknown
    if layout.varies(int(axis) % len(layout.shape)):  # type: ignore[arg-type]
        walk.atoms.freeze(layout.ids)
    walk.settle(x)

    def apply(layouts: Layouts) -> Layouts:
        return _layouts([_ids(layouts[0]).index_select(int(axis), index)])  # type: ignore[arg-type]

    return walk.move(node, [x], apply)


def _axis(node: Node) -> int:
    names = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]
    place = names.index("dim")
    return int(node.args[place] if len(node.args) > place else node.kwargs.get("dim", 0))  # type: ignore[arg-type]


def _ids(layout: Layout) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(layout.full(), dtype=np.int64))


def _layouts(found: Sequence[torch.Tensor]) -> Layouts:
    return [Layout.of(tensor.numpy()) for tensor in found]


MOVES: dict[Any, Callable[[Walk, Node], Move]] = {
    **dict.fromkeys(
        (
            *(aten.clone.default, aten.alias.default, aten.detach.default, aten.detach_.default),
            *(
                aten.contiguous.default,
                aten.to.dtype,
                aten._to_copy.default,
                aten.lift_fresh_copy.default,
            ),
            aten.feature_dropout.default,
        ),
        _same,
    ),
    **dict.fromkeys((aten.to.dtype, aten.to.dtype_layout, aten._to_copy.default), _cast),
    **dict.fromkeys(
        (aten.dropout.default, aten.dropout_.default, aten.feature_dropout.default), _dropout
    ),
    **dict.fromkeys(
        (
            *(aten.permute.default, aten.transpose.int, aten.squeeze.dim, aten.squeeze.dims),
            *(
                aten.unsqueeze.default,
                aten.flip.default,
                aten.repeat.default,
                aten.repeat_interleave.self_int,
                aten.channel_shuffle.default,
            ),
            *(aten.movedim.int, aten.t.default, aten.pixel_unshuffle.default),
        ),
        _by_operator,
    ),
    **dict.fromkeys(
        (
            *(aten.view.default, aten.reshape.default, aten._unsafe_view.default),
            *(aten.flatten.using_ints, aten.unflatten.int),
        ),
        _view,
    ),
    **dict.fromkeys(
        (
            *(aten.slice.Tensor, aten.narrow.default, aten.select.int, aten.unbind.int),
            *(aten.split.Tensor, aten.split_with_sizes.default),
        ),
        _parts,
    ),
    **dict.fromkeys((aten.expand.default, aten.expand_as.default), _expand),
    aten.channel_shuffle.default: _channel_shuffle,
    aten.chunk.default: _chunk,
    aten.index_select.default: _selected,
    aten.cat.default: _cat,
    aten.stack.default: _stack,
}
