"""Exported operators that work number by number: activations, sums, products."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch._ops import OpOverload
from torch.fx import Node
from torch.fx.node import map_arg

from openwork.channels.steps import Join, Layouts
from openwork.channels.walk import Unknown, Walk, concrete

aten = torch.ops.aten
# Those without torch's own mark.
_MORE = (aten.hardswish.default, aten.hardswish_.default, aten.relu6_.default, aten.gelu_.default)
_PRODUCTS = (aten.mul.Tensor, aten.mul_.Tensor)


def is_pointwise(target: Any) -> bool:
    """Whether `target` computes each number from the numbers at the same place."""
    if not isinstance(target, OpOverload):
        return False
    seeded = torch.Tag.nondeterministic_seeded in target.tags
    return (torch.Tag.pointwise in target.tags and not seeded) or target in _MORE


def pointwise(walk: Walk, node: Node) -> Join:
    """The step of an operator of which `is_pointwise` holds."""
    held = node.meta.get("val")
    if not isinstance(held, torch.Tensor) or not held.is_floating_point():
        raise Unknown
    given: list[Node] = []

    def is_operand(argument: Node) -> bool:
        return isinstance(argument.meta.get("val"), torch.Tensor) or argument.name in walk.constants

    map_arg((node.args, node.kwargs), lambda a: given.append(a) if is_operand(a) else None)
    inputs = [walk.input(argument) for argument in given]

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        simple = np.where(walk.atoms.map[rows] == 0, walk.atoms.value[rows], np.nan)
        columns = iter(torch.from_numpy(simple).unbind(1))
        args, kwargs = map_arg(
            (node.args, node.kwargs), lambda a: next(columns) if is_operand(a) else concrete(a)
        )
        found = _functional(node.target)(*args, **kwargs).double().numpy()
        found = np.where(np.isnan(simple).any(1), np.nan, found)
        if node.target in _PRODUCTS:
            found = np.where((walk.atoms.value[rows] == 0).any(1), 0.0, found)
        return found, 0

    return Join(walk.atoms, node, walk.sources(given), inputs, _align, values, loose=_loose(inputs))


def zeros_like(walk: Walk, node: Node) -> Join:
    """Zeros of the shape of a tensor."""

    def align(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
        return layouts[0].shape, layouts[0].ids[..., None]

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        return np.zeros(len(rows)), 0

    inputs = [walk.input(node.args[0])]
    return Join(walk.atoms, node, walk.sources(node.args[:1]), inputs, align, values)


def prelu(walk: Walk, node: Node) -> Join:
    """A leaky activation with a slope for each channel."""
    inputs = [walk.input(argument) for argument in node.args]
    if len(inputs[0].shape) < 2:
        raise Unknown

    def align(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
        x, slope = layouts
        places = slope.ids.reshape(1, -1, *[1] * (len(x.shape) - 2))
        return x.shape, np.stack(np.broadcast_arrays(x.ids, places), axis=-1)

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        x, slope = walk.atoms.value[rows.T]
        x = np.where(walk.atoms.map[rows[:, 0]] == 0, x, np.nan)
        return np.where(x >= 0, x, x * slope), 0

    loose = (1,) if inputs[1].shape == (1,) else ()
    return Join(walk.atoms, node, walk.sources(node.args), inputs, align, values, loose)


def _align(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
    shape = np.broadcast_shapes(*(layout.shape for layout in layouts))
    parts = [
        part.ids.reshape((1,) * (len(shape) - part.ids.ndim) + part.ids.shape) for part in layouts
    ]
    return shape, np.stack(np.broadcast_arrays(*parts), axis=-1)


def _loose(inputs: Layouts) -> list[int]:
    """Operands that are one number wherever the others differ."""
    shape, made_of = _align(inputs)
    varying = [axis for axis in range(len(shape)) if made_of.shape[axis] > 1]

    def is_one(axis: int, size: tuple[int, ...]) -> bool:
        place = axis - len(shape) + len(size)
        return place < 0 or size[place] == 1

    return [
        index
        for index, layout in enumerate(inputs)
        if layout.ids.size == 1 and varying and all(is_one(axis, layout.shape) for axis in varying)
    ]


def _functional(target: Any) -> Callable[..., torch.Tensor]:
    """`target`, or what it does without writing to its input."""
    name = target._schema.name.rpartition("::")[2]
    if not target._schema.is_mutable:
        return target
    return getattr(getattr(aten, name.rstrip("_")), target._overloadname)
