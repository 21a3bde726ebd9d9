"""`Recording`: takes the place of a native program, and keeps what nodes add as data."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from openwork.kernels.native import extension as _C
from openwork.runtime.packed.layout import PackedSlot, PackedStep

if TYPE_CHECKING:
    from openwork.kernels._C import (
        Activation,
        ByteLayer,
        Function,
        Layer,
        Operation,
        Pool,
        Reduction,
    )

_WINDOW = (
    *("channels", "height", "width", "kernel_y", "kernel_x", "stride_y", "stride_x"),
    *("pad_y", "pad_x", "out_height", "out_width"),
)
# Kernel, activation, geometry, sizes, arrays.
_Packing = tuple[str, Any, list[int], list[int], list[np.ndarray]]
_POOL = (*_WINDOW, "average", "count_padding")


class Recording:
    """The methods of the extension's `Program`, which say what their arguments are.

    Attributes:
        isa: instruction set that the program is for.
        made_slots: the slots so far.
        made_steps: the steps so far.
    """

    def __init__(self, isa: str) -> None:
        self.isa = isa
        self.made_slots: list[PackedSlot] = []
        self.made_steps: list[PackedStep] = []

    def steps(self) -> int:
        return len(self.made_steps)

    def arena_slot(self, at: int, floats: int) -> int:
        return self._slot(0, at, 0, floats)

    def input(self, floats: int) -> int:
        return self._slot(1, self._count(1), 0, floats)

    def output(self, floats: int) -> int:
        return self._slot(2, self._count(2), 0, floats)

    def part(self, whole: int, first: int, floats: int) -> int:
        return self._slot(3, whole, first, floats)

    def layer(self, layer: "Layer", input: int, output: int, residual: int | None = None) -> None:
        kernel, activation, geometry, sizes, arrays = cast(_Packing, _C.packing(layer))
        numbers = (input, output, _or_none(residual), *geometry, *sizes)
        self._add(f"layer {kernel}", activation.name, numbers, arrays)

    def pool(self, input: int, output: int, pool: "Pool", shift: Sequence[float] = ()) -> None:
        sizes = [int(getattr(pool, name)) for name in _POOL]
        self._add("pool", pool.activation.name, (input, output, *sizes), [_floats(shift)])

    def mean(self, input: int, output: int) -> None:
        self._add("mean", "", (input, output))

    def add(self, a: int, b: int | None, output: int, activation: "Activation") -> None:
        self._add("add", activation.name, (a, _or_none(b), output))

    def affine(
        self,
        input: int,
        output: int,
        scale: Sequence[float],
        shift: Sequence[float],
        activation: "Activation",
    ) -> None:
        arrays = [_floats(scale), _floats(shift)]
        self._add("affine", activation.name, (input, output), arrays)

    def gate(self, input: int, gates: int, output: int) -> None:
        self._add("gate", "", (input, gates, output))

    def copy(self, source: int, target: int) -> None:
        self._add("copy", "", (source, target))

    def clear(self, target: int) -> None:
        self.fill(target, 0.0)

    def fill(self, target: int, value: float) -> None:
        self._add("fill", "", (target,), [_floats([value])])

    def move(
        self,
        input: int,
        output: int,
        size: Sequence[int],
        from_: Sequence[int],
        to: Sequence[int],
        first_from: int = 0,
        first_to: int = 0,
    ) -> None:
        arrays = [np.array(each, np.int64) for each in (size, from_, to)]
        self._add("move", "", (input, output, first_from, first_to), arrays)

    def resample(
        self,
        input: int,
        output: int,
        *,
        height: int,
        width: int,
        row: Sequence[int],
        row_weight: Sequence[float],
        row_taps: int,
        column: Sequence[int],
        column_weight: Sequence[float],
        column_taps: int,
    ) -> None:
        rows = np.array(row, np.int32), _floats(row_weight)
        columns = np.array(column, np.int32), _floats(column_weight)
        numbers = (input, output, height, width, row_taps, column_taps)
        self._add("resample", "", numbers, [*rows, *columns])

    def map(self, input: int, output: int, function: "Function", numbers: Sequence[float]) -> None:
        self._add("map", function.name, (input, output), [_floats(numbers)])

    def combine(self, a: int, b: int, output: int, operation: "Operation") -> None:
        self._add("combine", operation.name, (a, b, output))

    def spread(self, a: int, b: int, output: int, operation: "Operation", inner: int) -> None:
        self._add("spread", operation.name, (a, b, output, inner))

    def normalize(
        self,
        input: int,
        output: int,
        size: int,
        inner: int,
        repeat: int,
        eps: float,
        weight: Sequence[float],
        bias: Sequence[float],
        activation: "Activation",
    ) -> None:
        arrays = [_floats([eps]), _floats(weight), _floats(bias)]
        self._add("normalize", activation.name, (input, output, size, inner, repeat), arrays)

    def reduce(
        self, input: int, output: int, reduction: "Reduction", size: int, inner: int
    ) -> None:
        self._add("reduce", reduction.name, (input, output, size, inner))

    def dot(self, input: int, factors: int, output: int) -> None:
        self._add("dot", "", (input, factors, output))

    def prelu(self, input: int, output: int, slope: Sequence[float]) -> None:
        self._add("prelu", "", (input, output), [_floats(slope)])

    def softmax(self, input: int, output: int, size: int, inner: int, log: bool) -> None:
        self._add("softmax", "", (input, output, size, inner, int(log)))

    def byte_layer(
        self, layer: "ByteLayer", input: int, output: int, residual: int | None = None
    ) -> None:
        _, _, geometry, sizes, arrays = cast(_Packing, _C.packing(layer))
        numbers = (input, output, _or_none(residual), *geometry, *sizes)
        self._add("byte_layer", "", numbers, arrays)

    def quantize(self, input: int, output: int, inverse: float, span: tuple[int, ...]) -> None:
        self._add("quantize", "", (input, output, *span), [_floats([inverse])])

    def dequantize(self, input: int, output: int, scale: float, zero: int) -> None:
        self._add("dequantize", "", (input, output, zero), [_floats([scale])])

    def byte_pool(self, input: int, output: int, pool: "Pool") -> None:
        sizes = [int(getattr(pool, name)) for name in _WINDOW]
        self._add("byte_pool", "", (input, output, *sizes))

    def byte_mean(
        self,
        input: int,
        output: int,
        maps: int,
        pixels: int,
        from_zero: int,
        scale: float,
        span: tuple[int, ...],
    ) -> None:
        numbers = (input, output, maps, pixels, from_zero, *span)
        self._add("byte_mean", "", numbers, [_floats([scale])])

    def byte_add(
        self,
        a: int,
        b: int,
        output: int,
        from_a: tuple[int, float],
        from_b: tuple[int, float],
        span: tuple[int, ...],
    ) -> None:
        numbers = (a, b, output, from_a[0], from_b[0], *span)
        self._add("byte_add", "", numbers, [_floats([from_a[1]]), _floats([from_b[1]])])

    def _count(self, kind: int) -> int:
        return sum(slot.kind == kind for slot in self.made_slots)

    def _slot(self, kind: int, at: int, first: int, floats: int) -> int:
        self.made_slots.append(PackedSlot(kind, at, first, floats))
        return len(self.made_slots) - 1

    def _add(
        self, name: str, word: str, numbers: Sequence[int], arrays: Sequence[np.ndarray] = ()
    ) -> None:
        self.made_steps.append(PackedStep(name, word, tuple(numbers), tuple(arrays)))


def _or_none(slot: int | None) -> int:
    return -1 if slot is None else slot


def _floats(numbers: Sequence[float]) -> np.ndarray:
    return np.array(numbers, np.float32)
