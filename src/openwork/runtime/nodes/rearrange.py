"""Nodes that copy numbers to other places: slices with steps, transposes, padding, other sizes."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from openwork.runtime.emission import Emission
from openwork.runtime.file_errors import require
from openwork.runtime.node import Node, check_shapes
from openwork.runtime.values import Value, contiguous

__all__ = ["MOST_AXES"]

MOST_AXES = 7
"""Axes of a `Rearrange`, without the batch; the extension takes no more."""


@dataclass(eq=False)
class Rearrange(Node):
    """Numbers of the input in another order: slices with steps, transposes, channel shuffles.

    Attributes:
        first: place of the output's first number within the input.
        sizes: of the output's axes; their product is what counts.
        steps: places of the input from one number to the next along each axis.
    """

    first: int
    sizes: tuple[int, ...]
    steps: tuple[int, ...]

    def check(self) -> None:
        check_shapes(self, 1)
        require(1 <= len(self.sizes) <= MOST_AXES, f"it must have 1 to {MOST_AXES} axes")
        require(len(self.sizes) == len(self.steps), "each axis must have a step")
        require(min(self.sizes) >= 1, "sizes must be at least 1")
        floats = self.output.floats
        require(math.prod(self.sizes) == floats, f"its sizes must have {floats} numbers in all")
        reach = [(size - 1) * step for size, step in zip(self.sizes, self.steps, strict=True)]
        least = self.first + sum(min(each, 0) for each in reach)
        most = self.first + sum(max(each, 0) for each in reach)
        inside = self.inputs[0].floats
        require(least >= 0 and most < inside, f"its places must lie in [0, {inside - 1}]")

    def emit(self, to: Emission) -> None:
        part = self.part_of()
        source, output = self.inputs[0], self.output
        if part is not None and to.lies_at(output, source, self.first):
            return
        to.native.move(
            to.slot(source),
            to.slot(output),
            self.sizes,
            self.steps,
            contiguous(self.sizes),
            self.first,
        )

    def part_of(self) -> tuple[Value, int] | None:
        neighbours = [
            step == wanted
            for size, step, wanted in zip(
                self.sizes, self.steps, contiguous(self.sizes), strict=True
            )
            if size > 1
        ]
        return (self.inputs[0], self.first) if all(neighbours) else None


@dataclass(eq=False)
class Pad(Node):
    """The input with a number around it.

    Attributes:
        before: places in front of each axis of the input's shape.
        value: what is put there, and behind.
    """

    before: tuple[int, ...]
    value: float

    def check(self) -> None:
        check_shapes(self, 1)
        inner, outer = self.inputs[0].shape, self.output.shape
        require(len(inner) == len(outer) == len(self.before) <= MOST_AXES, "axes must be the same")
        for small, large, before in zip(inner, outer, self.before, strict=True):
            fits = 0 <= before <= large - small
            require(fits, f"{inner} from {self.before} on must lie within {outer}")

    def emit(self, to: Emission) -> None:
        source, output = self.inputs[0], self.output
        steps = contiguous(output.shape)
        first = sum(at * step for at, step in zip(self.before, steps, strict=True))
        slots = to.slot(source), to.slot(output)
        to.native.fill(slots[1], self.value)
        to.native.move(*slots, source.shape, contiguous(source.shape), steps, 0, first)


@dataclass(eq=False)
class Resample(Node):
    """Maps of another size: each row and each column is a weighted sum of rows and columns.

    Attributes:
        rows: `(taps, out_height)` int32, the rows that each row of the output reads.
        row_weights: `(taps, out_height)` float32; None for one tap of weight 1.
        columns, column_weights: the same for columns.
    """

    rows: np.ndarray
    row_weights: np.ndarray | None
    columns: np.ndarray
    column_weights: np.ndarray | None

    def check(self) -> None:
        check_shapes(self, 1)
        before, after = self.inputs[0].shape, self.output.shape
        are_maps = len(before) == len(after) == 3 and before[0] == after[0]
        require(are_maps, f"{before} and {after} must both be (channels, height, width)")
        tables = (self.rows, self.row_weights), (self.columns, self.column_weights)
        for (places, weights), inside, size in zip(tables, before[1:], after[1:], strict=True):
            require(places.dtype == np.int32, "places must be int32")
            taps = len(places) if places.ndim == 2 else 0
            is_table = 1 <= taps <= _MOST_TAPS and places.shape == (taps, size)
            require(is_table, f"places must be of shape (taps, {size}), of 1 to {_MOST_TAPS} taps")
            within = places.min() >= 0 and places.max() < inside
            require(within, f"places must lie in [0, {inside - 1}]")
            if weights is None:
                require(taps == 1, "more than one tap must have weights")
            else:
                same = (weights.dtype, weights.shape) == (np.float32, places.shape)
                require(same, f"weights must be float32 of shape {places.shape}")

    def emit(self, to: Emission) -> None:
        _, height, width = self.inputs[0].shape
        to.native.resample(
            to.slot(self.inputs[0]),
            to.slot(self.output),
            height=height,
            width=width,
            row=_flat(self.rows),
            row_weight=_flat(self.row_weights),
            row_taps=len(self.rows),
            column=_flat(self.columns),
            column_weight=_flat(self.column_weights),
            column_taps=len(self.columns),
        )


_MOST_TAPS = 1 << 10


def _flat(table: np.ndarray | None) -> list[Any]:
    return [] if table is None else table.reshape(-1).tolist()
