"""Exported operators on each number alone: activations, sums, products, comparisons."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch._ops import OpOverload
from torch.fx import Node
from torch.fx.node import map_arg

from openwork.capture.operators import NotUnderstood, arguments, leaves, operand
from openwork.capture.out_of_place import out_of_place
from openwork.flow.context import AnalysisContext, concrete
from openwork.flow.op import Combine, Layouts

aten = torch.ops.aten
# Pointwise operators that torch does not tag as such.
_MORE = (
    *(aten.hardswish.default, aten.hardswish_.default, aten.relu6_.default, aten.gelu_.default),
    *(aten.__and__.Tensor, aten.__or__.Tensor, aten.__xor__.Tensor),
)
_PRODUCTS = (aten.mul.Tensor, aten.mul_.Tensor)


def is_pointwise(target: Any) -> bool:
    """Whether `target` computes each number from the numbers at the same place."""
    if not isinstance(target, OpOverload):
        return False
    seeded = torch.Tag.nondeterministic_seeded in target.tags
    return (torch.Tag.pointwise in target.tags and not seeded) or target in _MORE


def pointwise(ctx: AnalysisContext, node: Node) -> Combine:
    """The op of an operator that `is_pointwise`."""
    result = node.meta.get("val")
    if not isinstance(result, torch.Tensor) or not _has_values(result.dtype):
        raise NotUnderstood("whole or complex numbers")
    operands = [each for each in leaves((node.args, node.kwargs)) if _is_operand(ctx, each)]
    inputs = [ctx.input(each) for each in operands]
    dtypes = [_dtype(ctx, each) for each in operands]
    # Comparisons must decide as the network does, in its own precision. Everything else is
    # computed in double precision.
    compares = result.dtype == torch.bool
    compute = _computation(
        ctx, node, [torch.float64 if d.is_floating_point and not compares else d for d in dtypes]
    )
    is_mask = np.array([dtype == torch.bool for dtype in dtypes])

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        uniform = np.where(ctx.atoms.profile[rows] == 0, ctx.atoms.value[rows], np.nan)
        computed = compute(uniform)
        if is_mask.sum() == 1:
            # A choice between equal numbers does not matter.
            no, yes = (compute(np.where(np.isnan(uniform) & is_mask, n, uniform)) for n in (0, 1))
            computed = np.where(no == yes, no, computed)
        if node.target in _PRODUCTS:
            computed = np.where((ctx.atoms.value[rows] == 0).any(1), 0.0, computed)
        return computed, 0

    return Combine(
        ctx.atoms, node, ctx.sources(operands), inputs, _align, values, shared=_shared(inputs)
    )


def _is_operand(ctx: AnalysisContext, argument: Node) -> bool:
    return isinstance(argument.meta.get("val"), torch.Tensor) or argument.name in ctx.constants


def _dtype(ctx: AnalysisContext, operand: Node) -> torch.dtype:
    constant = ctx.constants.get(operand.name)
    return (operand.meta["val"] if constant is None else constant).dtype


def _has_values(dtype: torch.dtype) -> bool:
    """Whether atoms can have values of this kind; those of masks are 0 and 1."""
    return dtype.is_floating_point or dtype == torch.bool


def _computation(
    ctx: AnalysisContext, node: Node, dtypes: list[torch.dtype]
) -> Callable[[np.ndarray], np.ndarray]:
    """From the numbers (k, n) of the operands, the results (k,) of `node`; NaN where one is NaN."""
    operator = out_of_place(node.target)  # type: ignore[arg-type]
    if operator is None:
        raise NotUnderstood(f"{node.target} in place")

    def compute(numbers: np.ndarray) -> np.ndarray:
        columns = (
            torch.from_numpy(column).to(dtype)
            for column, dtype in zip(numbers.T, dtypes, strict=True)
        )
        args, kwargs = map_arg(
            (node.args, node.kwargs),
            lambda a: next(columns) if _is_operand(ctx, a) else concrete(a),
        )
        try:
            results = operator(*args, **kwargs).double().numpy()
        except Exception:
            # Any kind: the operator does not accept such columns of numbers.
            return np.full(len(numbers), np.nan)
        return np.where(np.isnan(numbers).any(1), np.nan, results)

    return compute


def zeros_like(ctx: AnalysisContext, node: Node) -> Combine:
    """Zeros in the shape of a tensor."""

    def align(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
        return layouts[0].shape, layouts[0].ids[..., None]

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        return np.zeros(len(rows)), 0

    source = operand(node)
    inputs = [ctx.input(source)]
    return Combine(ctx.atoms, node, [ctx.source(source)], inputs, align, values)


def prelu(ctx: AnalysisContext, node: Node) -> Combine:
    """A leaky activation with a slope for each channel."""
    given = arguments(node)
    operands = [given["self"], given["weight"]]
    inputs = [ctx.input(argument) for argument in operands]
    if len(inputs[0].shape) < 2:
        raise NotUnderstood("no axis of channels")

    def align(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
        x, slope = layouts
        places = slope.ids.reshape(1, -1, *[1] * (len(x.shape) - 2))
        return x.shape, np.stack(np.broadcast_arrays(x.ids, places), axis=-1)

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        x, slope = ctx.atoms.value[rows.T]
        x = np.where(ctx.atoms.profile[rows[:, 0]] == 0, x, np.nan)
        return np.where(x >= 0, x, x * slope), 0

    shared = (1,) if inputs[1].shape == (1,) else ()
    return Combine(ctx.atoms, node, ctx.sources(operands), inputs, align, values, shared)


def glu(ctx: AnalysisContext, node: Node) -> Combine:
    """The first half of the channels, times the sigmoid of the second half."""
    given = arguments(node)
    x = ctx.input(given["self"])
    axis = given["dim"] % len(x.shape)

    def align(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
        (layout,) = layouts
        shape = [n // 2 if a == axis else n for a, n in enumerate(layout.shape)]
        ids = np.moveaxis(layout.ids, axis, -1)
        halves = np.stack(np.split(ids, 2, -1) if layout.varies(axis) else [ids, ids], -2)
        return tuple(shape), np.moveaxis(np.moveaxis(halves, -2, -1), -2, axis)

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        first, second = np.where(ctx.atoms.profile[rows] == 0, ctx.atoms.value[rows], np.nan).T
        zero = ctx.atoms.value[rows[:, 0]] == 0
        return np.where(zero, 0.0, first / (1 + np.exp(-second))), 0

    return Combine(ctx.atoms, node, [ctx.source(given["self"])], [x], align, values)


def _align(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
    shape = np.broadcast_shapes(*(layout.shape for layout in layouts))
    parts = [
        part.ids.reshape((1,) * (len(shape) - part.ids.ndim) + part.ids.shape) for part in layouts
    ]
    return shape, np.stack(np.broadcast_arrays(*parts), axis=-1)


def _shared(inputs: Layouts) -> list[int]:
    """Which operands are one number for all channels of the others."""
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
