"""Exported operators on feature maps: pools, resampling, padding, reductions, pixel shuffles."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.fx import Node

from openwork.capture.operators import (
    NotUnderstood,
    arguments,
    operand,
    padding,
    pool,
    reduction,
    spatial_axes,
)
from openwork.flow.context import AnalysisContext, concrete, shapes
from openwork.flow.op import Combine, Layouts, Op

aten = torch.ops.aten


def _keeps_constants(ctx: AnalysisContext, node: Node) -> Op:
    """Every output is a mean or a maximum of inputs, so constants are kept."""
    return _local(ctx, node, constants=True, linear=False)


def _resampled(ctx: AnalysisContext, node: Node) -> Op:
    """Every output is a weighted mean of inputs, and the weights depend on sizes only."""
    return _local(ctx, node, constants=True, linear=True)


def _avg_pool(ctx: AnalysisContext, node: Node) -> Op:
    record = pool(node)
    bordered = np.any(concrete(record.padding)) and record.count_padding
    return _local(ctx, node, constants=not bordered and record.divisor is None, linear=True)


def _pad(ctx: AnalysisContext, node: Node) -> Op:
    record = padding(node)
    # Declines if a width depends on the input.
    widths = concrete(record.widths)
    if len(widths) > 2 * (len(ctx.input(record.input).shape) - 2):
        raise NotUnderstood("padding of channels or images")
    if record.mode != "constant":
        return _resampled(ctx, node)
    fill = record.value
    return _local(ctx, node, constants=False, linear=not fill, filled=fill)


def _local(
    ctx: AnalysisContext, node: Node, *, constants: bool, linear: bool, filled: float | None = None
) -> Combine:
    """Each output channel depends on the input channel at the same place alone.

    Args:
        constants: whether a constant channel gives the same constant.
        linear: whether twice the input gives twice the output.
        filled: the number that is put around the feature map. Only a channel of that constant
            stays constant.
    """
    source = operand(node)
    x = ctx.input(source)
    axes = spatial_axes(node) or len(x.shape) - 2
    if len(x.shape) != 2 + axes or any(x.varies(2 + axis) for axis in range(axes)):
        raise NotUnderstood("not a batch of feature maps")
    shape = shapes(node)[0]

    def align(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
        return (*layouts[0].shape[:2], *shape[2:]), layouts[0].ids[..., None]

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        value, profile = ctx.atoms.value[rows[:, 0]], ctx.atoms.profile[rows[:, 0]]
        same = (value == 0) & (not filled)
        if constants:
            same |= profile == 0
        if filled:
            same |= (value == filled) & (profile == 0)
        if not linear:
            return np.where(same, value, np.nan), 0
        return value, np.where(same, 0, ctx.new_profiles(node, profile))

    return Combine(ctx.atoms, node, [ctx.source(source)], [x], align, values)


def _reduced(ctx: AnalysisContext, node: Node) -> Op:
    """A mean, sum or extremum along axes."""
    record = reduction(node)
    x = ctx.input(record.input)
    axes = record.axes_of(len(x.shape))
    # Along an axis where all numbers are equal, a sum depends on the axis's size.
    sized = not all(x.varies(axis) for axis in axes)
    if 0 in x.shape:
        raise NotUnderstood("an empty tensor")

    def align(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
        size = layouts[0].shape
        shape = [1 if axis in axes else n for axis, n in enumerate(size)]
        ids = np.moveaxis(layouts[0].ids, axes, range(len(size) - len(axes), len(size)))
        rest = ids.reshape(*ids.shape[: len(size) - len(axes)], -1)
        if record.keep:
            return tuple(shape), np.expand_dims(rest, axes)
        return tuple(n for axis, n in enumerate(size) if axis not in axes), rest

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        value = np.where(ctx.atoms.profile[rows] == 0, ctx.atoms.value[rows], np.nan)
        if node.target is aten.mean.dim:
            return value.mean(1), 0
        if node.target is aten.sum.dim_IntList:
            total = value.sum(1)
            return np.where((total != 0) & sized, np.nan, total), 0
        return (value.max(1) if node.target is aten.amax.default else value.min(1)), 0

    return Combine(ctx.atoms, node, [ctx.source(record.input)], [x], align, values)


def _softmax(ctx: AnalysisContext, node: Node) -> Op:
    given = arguments(node)
    x = ctx.input(given["self"])
    axis = given["dim"] % len(x.shape)
    if x.varies(axis) and x.ids.size == x.ids.shape[axis]:
        raise NotUnderstood("over all channels, none of which can be removed")

    def align(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
        ids = layouts[0].ids
        others = np.repeat(np.moveaxis(ids, axis, -1)[..., None, :], ids.shape[axis], axis=-2)
        others = np.moveaxis(others, -2, axis)
        return layouts[0].shape, np.concatenate([ids[..., None], others], axis=-1)

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        return np.full(len(rows), np.nan), 0

    return Combine(ctx.atoms, node, [ctx.source(given["self"])], [x], align, values)


def _pixel_shuffle(ctx: AnalysisContext, node: Node) -> Op:
    given = arguments(node)
    x = ctx.input(given["self"])
    factor = int(concrete(given["upscale_factor"])) ** 2
    if len(x.shape) != 4 or x.along(1) is None:
        raise NotUnderstood("not a batch of feature maps")

    def align(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
        channels = np.broadcast_to(layouts[0].ids.reshape(-1), (layouts[0].shape[1],))
        parts = channels.reshape(1, -1, 1, 1, factor)
        return (layouts[0].shape[0], parts.shape[1], *shapes(node)[0][2:]), parts

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        value = np.where(ctx.atoms.profile[rows] == 0, ctx.atoms.value[rows], np.nan)
        return np.where((value == value[:, :1]).all(1), value[:, 0], np.nan), 0

    return Combine(ctx.atoms, node, [ctx.source(given["self"])], [x], align, values)


SPATIAL: dict[Any, Callable[[AnalysisContext, Node], Op]] = {
    aten.max_pool1d.default: _keeps_constants,
    aten.max_pool2d.default: _keeps_constants,
    aten.max_pool3d.default: _keeps_constants,
    aten.adaptive_max_pool1d.default: _keeps_constants,
    aten.adaptive_max_pool2d.default: _keeps_constants,
    aten.adaptive_max_pool3d.default: _keeps_constants,
    aten.adaptive_avg_pool1d.default: _resampled,
    aten.adaptive_avg_pool2d.default: _resampled,
    aten.adaptive_avg_pool3d.default: _resampled,
    aten.avg_pool1d.default: _avg_pool,
    aten.avg_pool2d.default: _avg_pool,
    aten.avg_pool3d.default: _avg_pool,
    aten.upsample_nearest1d.vec: _resampled,
    aten.upsample_nearest2d.vec: _resampled,
    aten.upsample_nearest2d.default: _resampled,
    aten.upsample_nearest3d.vec: _resampled,
    aten.upsample_linear1d.vec: _resampled,
    aten.upsample_trilinear3d.vec: _resampled,
    aten.upsample_bilinear2d.vec: _resampled,
    aten.upsample_bilinear2d.default: _resampled,
    aten.upsample_bicubic2d.vec: _resampled,
    aten.pad.default: _pad,
    aten.constant_pad_nd.default: _pad,
    aten.mean.dim: _reduced,
    aten.sum.dim_IntList: _reduced,
    aten.amax.default: _reduced,
    aten.amin.default: _reduced,
    aten.softmax.int: _softmax,
    aten.pixel_shuffle.default: _pixel_shuffle,
}
