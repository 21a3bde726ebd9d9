"""Exported operators that move numbers to other places: views, slices, concatenations."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.fx import Node

from openwork.capture.operators import NotUnderstood, arguments
from openwork.flow.atoms import Layout
from openwork.flow.context import AnalysisContext, concrete, shapes
from openwork.flow.op import Layouts, Movement
from openwork.flow.reshape import reshaped, split_rows

aten = torch.ops.aten


def _same(ctx: AnalysisContext, node: Node) -> Movement:
    """The tensor itself."""
    return ctx.movement(node, node.args[:1], lambda layouts: layouts)


def _cast(ctx: AnalysisContext, node: Node) -> Movement:
    """Another dtype, unless it rounds."""
    held = node.meta["val"]
    if held.dtype not in (torch.float32, torch.float64):
        raise NotUnderstood
    return _same(ctx, node)


def _dropout(ctx: AnalysisContext, node: Node) -> Movement:
    if node.args[2]:
        raise NotUnderstood
    return _same(ctx, node)


def _by_operator(ctx: AnalysisContext, node: Node) -> Movement:
    """The operator itself, on ids in place of numbers."""
    rest, kwargs = concrete((node.args[1:], node.kwargs))
    target: Any = node.target
    ctx.require_uniform(node.args[0])

    def apply(layouts: Layouts) -> Layouts:
        found = target(_ids(layouts[0]), *rest, **kwargs)
        return _layouts(found if isinstance(found, list | tuple) else [found])

    return ctx.movement(node, node.args[:1], apply)


def _view(ctx: AnalysisContext, node: Node) -> Movement:
    """Another shape for the same numbers; what stays of an axis is found again in the new one."""
    before, after = ctx.input(node.args[0]).shape, shapes(node)[0]
    ctx.require_uniform(node.args[0])

    def apply(layouts: Layouts) -> Layouts:
        size = reshaped(before, after, layouts[0].shape)
        return [Layout.of(layouts[0].full().reshape(size))]

    move = ctx.movement(node, node.args[:1], apply)
    move.rows = split_rows(before, after, move.outputs[0])
    return move


def _expand(ctx: AnalysisContext, node: Node) -> Movement:
    before, after = ctx.input(node.args[0]).shape, shapes(node)[0]
    new = len(after) - len(before)

    def apply(layouts: Layouts) -> Layouts:
        (layout,) = layouts
        old = zip(after[new:], before, layout.shape, strict=True)
        shape = (*after[:new], *(n if was == 1 else now for n, was, now in old))
        return [Layout(shape, layout.ids.reshape((1,) * new + layout.ids.shape))]

    return ctx.movement(node, node.args[:1], apply)


def _cat(ctx: AnalysisContext, node: Node) -> Movement:
    parts: Any = node.args[0]
    axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)

    def apply(layouts: Layouts) -> Layouts:
        return [_joined(layouts, int(axis) % len(layouts[0].shape))]  # type: ignore[arg-type]

    return ctx.movement(node, parts, apply)


def _stack(ctx: AnalysisContext, node: Node) -> Movement:
    parts: Any = node.args[0]
    axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)

    def apply(layouts: Layouts) -> Layouts:
        place = int(axis) % (len(layouts[0].shape) + 1)  # type: ignore[arg-type]
        grown = [
            Layout((*part.shape[:place], 1, *part.shape[place:]), np.expand_dims(part.ids, place))
            for part in layouts
        ]
        return [_joined(grown, place)]

    return ctx.movement(node, parts, apply)


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


def _chunk(ctx: AnalysisContext, node: Node) -> Movement:
    """Equal parts, which must stay equal."""
    x, count, axis = arguments(node, None, None, 0)
    layout = ctx.input(x)
    place = int(axis) % len(layout.shape)
    channels = layout.along(place)
    if not layout.varies(place):
        return _by_operator(ctx, node)
    if channels is None or len(channels) % count:
        return _parts(ctx, node)
    move = _by_operator(ctx, node)
    move.rows = channels.reshape(count, -1)
    return move


def _channel_shuffle(ctx: AnalysisContext, node: Node) -> Movement:
    """Groups of channels, which must stay equal, dealt out in turns."""
    channels = ctx.input(node.args[0]).along(1)
    move = _by_operator(ctx, node)
    if channels is not None:
        move.rows = channels.reshape(int(concrete(node.args[1])), -1)
    return move


def _parts(ctx: AnalysisContext, node: Node) -> Movement:
    """Parts at fixed places: what is cut into them stays as it is."""
    layout = ctx.input(node.args[0])
    axis = _axis(node) % len(layout.shape)
    others = [a for a in range(len(layout.shape)) if a != axis and layout.varies(a)]
    move = _by_operator(ctx, node)
    whole = len(move.outputs) == 1 and move.outputs[0].shape == layout.shape
    if layout.varies(axis) and not others and not whole:
        ctx.atoms.freeze(layout.ids)
    return move


def _selected(ctx: AnalysisContext, node: Node) -> Movement:
    """Places along an axis that the code names: what is picked from among them stays as it is."""
    x, axis, places = node.args
    layout, index = ctx.input(x), ctx.data(places)
    if index is None or index.dim() != 1:
        raise NotUnderstood
    if layout.varies(int(axis) % len(layout.shape)):  # type: ignore[arg-type]
        ctx.atoms.freeze(layout.ids)
    ctx.require_uniform(x)

    def apply(layouts: Layouts) -> Layouts:
        return _layouts([_ids(layouts[0]).index_select(int(axis), index)])  # type: ignore[arg-type]

    return ctx.movement(node, [x], apply)


def _axis(node: Node) -> int:
    names = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]
    place = names.index("dim")
    return int(node.args[place] if len(node.args) > place else node.kwargs.get("dim", 0))  # type: ignore[arg-type]


def _ids(layout: Layout) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(layout.full(), dtype=np.int64))


def _layouts(found: Sequence[torch.Tensor]) -> Layouts:
    return [Layout.of(tensor.numpy()) for tensor in found]


MOVEMENT: dict[Any, Callable[[AnalysisContext, Node], Movement]] = {
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
