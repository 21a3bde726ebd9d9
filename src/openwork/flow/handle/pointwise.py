"""Exported operators that work number by number: activations, sums, products."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch._ops import OpOverload
from torch.fx import Node
from torch.fx.node import map_arg

from openwork.capture.operators import NotUnderstood
from openwork.capture.out_of_place import out_of_place
from openwork.flow.context import AnalysisContext, concrete
from openwork.flow.op import Combine, Layouts

aten = torch.ops.aten
# Those without torch's own mark.
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
    """The op of an operator of which `is_pointwise` holds."""
    held = node.meta.get("val")
    if not isinstance(held, torch.Tensor) or not _has_values(held.dtype):
        raise NotUnderstood
    given: list[Node] = []
    map_arg((node.args, node.kwargs), lambda a: given.append(a) if _is_operand(ctx, a) else None)
    inputs = [ctx.input(argument) for argument in given]
    dtypes = [_dtype(ctx, argument) for argument in given]
    # Comparisons decide as the network does, in its own precision; all else is more exact.
    exact = held.dtype == torch.bool
    compute = _computation(
        ctx, node, [torch.float64 if d.is_floating_point and not exact else d for d in dtypes]
    )
    chooses = np.array([dtype == torch.bool for dtype in dtypes])

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        simple = np.where(ctx.atoms.profile[rows] == 0, ctx.atoms.value[rows], np.nan)
        found = compute(simple)
        if chooses.sum() == 1:
            # A choice between equal numbers does not matter.
            no, yes = (compute(np.where(np.isnan(simple) & chooses, n, simple)) for n in (0, 1))
            found = np.where(no == yes, no, found)
        if node.target in _PRODUCTS:
            found = np.where((ctx.atoms.value[rows] == 0).any(1), 0.0, found)
        return found, 0

    return Combine(
        ctx.atoms, node, ctx.sources(given), inputs, _align, values, shared=_shared(inputs)
    )


def _is_operand(ctx: AnalysisContext, argument: Node) -> bool:
    return isinstance(argument.meta.get("val"), torch.Tensor) or argument.name in ctx.constants


def _dtype(ctx: AnalysisContext, operand: Node) -> torch.dtype:
    held = ctx.constants.get(operand.name)
    return (operand.meta["val"] if held is None else held).dtype


def _has_values(dtype: torch.dtype) -> bool:
    """Whether atoms have values of this kind; those of masks are 0 and 1."""
    return dtype.is_floating_point or dtype == torch.bool


def _computation(
    ctx: AnalysisContext, node: Node, dtypes: list[torch.dtype]
) -> Callable[[np.ndarray], np.ndarray]:
    """What `node` makes (k,) of the numbers (k, n) of its operands; NaN where one is NaN."""
    operator = out_of_place(node.target)  # type: ignore[arg-type]
    if operator is None:
        raise NotUnderstood

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
            found = operator(*args, **kwargs).double().numpy()
        except Exception:
            # Whatever kind it is: it does not take columns of such numbers.
            return np.full(len(numbers), np.nan)
        return np.where(np.isnan(numbers).any(1), np.nan, found)

    return compute


def zeros_like(ctx: AnalysisContext, node: Node) -> Combine:
    """Zeros of the shape of a tensor."""

    def align(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
        return layouts[0].shape, layouts[0].ids[..., None]

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        return np.zeros(len(rows)), 0

    inputs = [ctx.input(node.args[0])]
    return Combine(ctx.atoms, node, ctx.sources(node.args[:1]), inputs, align, values)


def prelu(ctx: AnalysisContext, node: Node) -> Combine:
    """A leaky activation with a slope for each channel."""
    inputs = [ctx.input(argument) for argument in node.args]
    if len(inputs[0].shape) < 2:
        raise NotUnderstood

    def align(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
        x, slope = layouts
        places = slope.ids.reshape(1, -1, *[1] * (len(x.shape) - 2))
        return x.shape, np.stack(np.broadcast_arrays(x.ids, places), axis=-1)

    def values(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        x, slope = ctx.atoms.value[rows.T]
        x = np.where(ctx.atoms.profile[rows[:, 0]] == 0, x, np.nan)
        return np.where(x >= 0, x, x * slope), 0

    shared = (1,) if inputs[1].shape == (1,) else ()
    return Combine(ctx.atoms, node, ctx.sources(node.args), inputs, align, values, shared)


def _align(layouts: Layouts) -> tuple[tuple[int, ...], np.ndarray]:
    shape = np.broadcast_shapes(*(layout.shape for layout in layouts))
    parts = [
        part.ids.reshape((1,) * (len(shape) - part.ids.ndim) + part.ids.shape) for part in layouts
    ]
    return shape, np.stack(np.broadcast_arrays(*parts), axis=-1)


def _shared(inputs: Layouts) -> list[int]:
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
