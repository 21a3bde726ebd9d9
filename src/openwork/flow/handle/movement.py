"""Exported operators that move numbers to other places: views, slices, concatenations."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.fx import Node

from openwork.capture.operators import NotUnderstood, arguments, joined, operand
from openwork.flow.atoms import Layout
from openwork.flow.context import AnalysisContext, concrete, shapes
from openwork.flow.op import Layouts, Movement
from openwork.flow.reshape import reshaped, split_rows

__all__ = ["MOVEMENT"]

aten = torch.ops.aten


def _same(ctx: AnalysisContext, node: Node) -> Movement:
    """The tensor itself."""
    return ctx.movement(node, [operand(node)], lambda layouts: layouts)


def _cast(ctx: AnalysisContext, node: Node) -> Movement:
    """Another dtype, unless it rounds."""
    if node.meta["val"].dtype not in (torch.float32, torch.float64):
        raise NotUnderstood("a cast that rounds")
    return _same(ctx, node)


def _dropout(ctx: AnalysisContext, node: Node) -> Movement:
    if arguments(node)["train"]:
        raise NotUnderstood("in training mode")
    return _same(ctx, node)


def _by_operator(ctx: AnalysisContext, node: Node) -> Movement:
    """The operator itself, run on atoms' ids instead of numbers."""
    (_, source), *others = arguments(node).items()
    rest = concrete(dict(others))
    target: Any = node.target
    ctx.require_uniform(source)

    def apply(layouts: Layouts) -> Layouts:
        results = target(_ids(layouts[0]), **rest)
        return _layouts(results if isinstance(results, list | tuple) else [results])

    return ctx.movement(node, [source], apply)


def _view(ctx: AnalysisContext, node: Node) -> Movement:
    """Another shape for the same numbers."""
    source = operand(node)
    before, after = ctx.input(source).shape, shapes(node)[0]
    ctx.require_uniform(source)

    def apply(layouts: Layouts) -> Layouts:
        size = reshaped(before, after, layouts[0].shape)
        return [Layout.of(layouts[0].full().reshape(size))]

    movement = ctx.movement(node, [source], apply)
    movement.rows = split_rows(before, after, movement.outputs[0])
    return movement


def _expand(ctx: AnalysisContext, node: Node) -> Movement:
    source = operand(node)
    before, after = ctx.input(source).shape, shapes(node)[0]
    new = len(after) - len(before)

    def apply(layouts: Layouts) -> Layouts:
        (layout,) = layouts
        old = zip(after[new:], before, layout.shape, strict=True)
        shape = (*after[:new], *(n if was == 1 else now for n, was, now in old))
        return [Layout(shape, layout.ids.reshape((1,) * new + layout.ids.shape))]

    return ctx.movement(node, [source], apply)


def _cat(ctx: AnalysisContext, node: Node) -> Movement:
    cat = joined(node)

    def apply(layouts: Layouts) -> Layouts:
        return [_concatenated(layouts, cat.axis % len(layouts[0].shape))]

    return ctx.movement(node, cat.tensors, apply)


def _stack(ctx: AnalysisContext, node: Node) -> Movement:
    stack = joined(node)

    def apply(layouts: Layouts) -> Layouts:
        place = stack.axis % (len(layouts[0].shape) + 1)
        with_axis = [
            Layout((*part.shape[:place], 1, *part.shape[place:]), np.expand_dims(part.ids, place))
            for part in layouts
        ]
        return [_concatenated(with_axis, place)]

    return ctx.movement(node, stack.tensors, apply)


def _concatenated(layouts: Layouts, axis: int) -> Layout:
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
    whole = Layout.of(np.concatenate(ids, axis))
    return Layout(tuple(shape), whole.ids)


def _chunk(ctx: AnalysisContext, node: Node) -> Movement:
    """Equal parts, which must stay equal."""
    given = arguments(node)
    count = given["chunks"]
    layout = ctx.input(given["self"])
    axis = given["dim"] % len(layout.shape)
    channels = layout.along(axis)
    if not layout.varies(axis):
        return _by_operator(ctx, node)
    if channels is None or len(channels) % count:
        return _parts(ctx, node)
    movement = _by_operator(ctx, node)
    movement.rows = channels.reshape(count, -1)
    return movement


def _channel_shuffle(ctx: AnalysisContext, node: Node) -> Movement:
    """Channels of equal groups, taken from each group in turn; groups must stay equal."""
    given = arguments(node)
    channels = ctx.input(given["self"]).along(1)
    movement = _by_operator(ctx, node)
    if channels is not None:
        movement.rows = channels.reshape(int(concrete(given["groups"])), -1)
    return movement


def _parts(ctx: AnalysisContext, node: Node) -> Movement:
    """Parts at places fixed in the code: no channel of such an axis can be removed."""
    given = arguments(node)
    layout = ctx.input(given["self"])
    axis = given["dim"] % len(layout.shape)
    others = [a for a in range(len(layout.shape)) if a != axis and layout.varies(a)]
    movement = _by_operator(ctx, node)
    whole = len(movement.outputs) == 1 and movement.outputs[0].shape == layout.shape
    if layout.varies(axis) and not others and not whole:
        ctx.atoms.freeze(layout.ids)
    return movement


def _selected(ctx: AnalysisContext, node: Node) -> Movement:
    """Places along an axis, read from a buffer: no channel of such an axis can be removed."""
    given = arguments(node)
    x, axis = given["self"], given["dim"]
    layout, index = ctx.input(x), ctx.tensor(given["index"])
    if index is None or index.dim() != 1:
        raise NotUnderstood("an index with several axes")
    if layout.varies(axis % len(layout.shape)):
        ctx.atoms.freeze(layout.ids)
    ctx.require_uniform(x)

    def apply(layouts: Layouts) -> Layouts:
        return _layouts([_ids(layouts[0]).index_select(axis, index)])

    return ctx.movement(node, [x], apply)


def _ids(layout: Layout) -> torch.Tensor:
    # A copy, because torch warns of arrays that it must not write to.
    return torch.from_numpy(np.array(layout.full(), dtype=np.int64, order="C"))


def _layouts(tensors: Sequence[torch.Tensor]) -> Layouts:
    return [Layout.of(tensor.numpy()) for tensor in tensors]


MOVEMENT: dict[Any, Callable[[AnalysisContext, Node], Movement]] = {
    aten._to_copy.default: _cast,
    aten._unsafe_view.default: _view,
    aten.alias.default: _same,
    aten.cat.default: _cat,
    aten.channel_shuffle.default: _channel_shuffle,
    aten.chunk.default: _chunk,
    aten.clone.default: _same,
    aten.contiguous.default: _same,
    aten.detach.default: _same,
    aten.detach_.default: _same,
    aten.dropout.default: _dropout,
    aten.dropout_.default: _dropout,
    aten.expand.default: _expand,
    aten.expand_as.default: _expand,
    aten.feature_dropout.default: _dropout,
    aten.flatten.using_ints: _view,
    aten.flip.default: _by_operator,
    aten.index_select.default: _selected,
    aten.lift_fresh_copy.default: _same,
    aten.movedim.int: _by_operator,
    aten.narrow.default: _parts,
    aten.permute.default: _by_operator,
    aten.pixel_unshuffle.default: _by_operator,
    aten.repeat.default: _by_operator,
    aten.repeat_interleave.self_int: _by_operator,
    aten.reshape.default: _view,
    aten.select.int: _parts,
    aten.slice.Tensor: _parts,
    aten.split.Tensor: _parts,
    aten.split_with_sizes.default: _parts,
    aten.squeeze.dim: _by_operator,
    aten.squeeze.dims: _by_operator,
    aten.stack.default: _stack,
    aten.t.default: _by_operator,
    aten.to.dtype: _cast,
    aten.to.dtype_layout: _cast,
    aten.transpose.int: _by_operator,
    aten.unbind.int: _parts,
    aten.unflatten.int: _view,
    aten.unsqueeze.default: _by_operator,
    aten.view.default: _view,
}
