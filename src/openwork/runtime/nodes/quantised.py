"""Nodes over bytes: uint8 numbers, each `(q - zero) * scale`, four in each float of a value."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from openwork.kernels.narrow.pack_bytes import ByteProblem, pack_bytes
from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Geometry
from openwork.runtime.emission import Emission
from openwork.runtime.file_errors import require
from openwork.runtime.node import Node, check_shapes
from openwork.runtime.nodes.pool import native_pool
from openwork.runtime.values import Value, root

__all__ = ["MOST_INPUTS", "bytes_of"]


class OnBytes:
    """A node that reads or writes bytes."""


def bytes_of(numbers: int, name: str) -> Value:
    """A value for so many bytes."""
    return Value((-(-numbers // 4),), name)


def _check_bytes(value: Value, numbers: int) -> None:
    floats = -(-numbers // 4)
    require(value.floats == floats, f"{value.name!r} must have {floats} floats, for bytes")


def _check_range(zero: int, least: int, most: int) -> None:
    require(0 <= zero <= 255, f"the zero point must be a byte, not {zero}")
    require(0 <= least <= most <= 255, f"bounds must be rising bytes, not {least} and {most}")


@dataclass(eq=False)
class Quantize(Node, OnBytes):
    """Floats to bytes: `clamp(round(x / scale) + zero, least, most)`, halves to even.

    Attributes:
        scale, zero, least, most: as above.
    """

    scale: float
    zero: int
    least: int
    most: int

    def check(self) -> None:
        check_shapes(self, 1)
        _check_range(self.zero, self.least, self.most)
        require(self.scale > 0, "the scale must be above 0")
        _check_bytes(self.output, self.inputs[0].floats)

    def emit(self, to: Emission) -> None:
        span = self.zero, self.least, self.most
        to.native.quantize(to.slot(self.inputs[0]), to.slot(self.output), 1 / self.scale, span)


@dataclass(eq=False)
class Dequantize(Node, OnBytes):
    """Bytes to floats: `(q - zero) * scale`.

    Attributes:
        scale, zero: as above.
    """

    scale: float
    zero: int

    def check(self) -> None:
        check_shapes(self, 1)
        _check_range(self.zero, 0, 255)
        require(self.scale > 0, "the scale must be above 0")
        _check_bytes(self.inputs[0], self.output.floats)

    def emit(self, to: Emission) -> None:
        to.native.dequantize(to.slot(self.inputs[0]), to.slot(self.output), self.scale, self.zero)


@dataclass(eq=False)
class ByteConv(Node, OnBytes):
    """A convolution or linear layer of bytes; a second input is added before the bounds.

    Attributes:
        layer: qualified name of the layer it was.
        size: (height, width) of the input map.
        stride, padding, dilation: (vertical, horizontal).
        groups: groups of the convolution.
        weight: `(out_channels, in_channels / groups, ky, kx)` int8.
        zero: the input's zero point.
        scale, bias: `(out_channels,)` float32: factor of the integer sums, and what is added.
        least, most: bounds of the output.
        out_zero: the output's zero point; None writes floats.
        residual_zero, residual_scale: of the second input.
    """

    layer: str
    size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    weight: np.ndarray
    zero: int
    scale: np.ndarray
    bias: np.ndarray
    least: float
    most: float
    out_zero: int | None
    residual_zero: int = 0
    residual_scale: float = 0.0

    def __post_init__(self) -> None:
        self._packed: dict[str, _C.ByteLayer] = {}

    @property
    def step(self) -> tuple[str, str]:
        """(layer, kind)."""
        return self.layer, super().step[1]

    @property
    def geometry(self) -> Geometry:
        """Its sizes, as the kernels take them."""
        out, inside, *kernel = self.weight.shape
        window = (kernel[0], kernel[1]), self.stride, self.padding, self.dilation
        return Geometry(inside * self.groups, out, self.size, *window)

    def problem(self) -> ByteProblem:
        """The kernels' view of it."""
        return ByteProblem(**{each.name: getattr(self, each.name) for each in fields(ByteProblem)})

    def packed(self, isa: str) -> "_C.ByteLayer":
        """The layer packed for an instruction set: once, for all programs that it is part of."""
        if isa not in self._packed:
            self._packed[isa] = pack_bytes(self.problem(), isa)
        return self._packed[isa]

    @property
    def density(self) -> float:
        """Live weights / all weights."""
        return float(np.count_nonzero(self.weight) / self.weight.size)

    def kernel(self, isa: str) -> str:
        """The name of what runs it in a network for this instruction set."""
        height, width = self.weight.shape[2:]
        op = f"conv{height}x{width}" if max(self.size) > 1 else "linear"
        return f"int8-{op}-quads-{_C.byte_isa_of(isa)}"

    def check(self) -> None:
        check_shapes(self, 1, 2)
        require(self.weight.dtype == np.int8, "the weight must be int8")
        require(self.weight.ndim == 4 and self.weight.size > 0, "the weight must have four axes")
        out = len(self.weight)
        sizes = (*self.size, *self.stride, *self.dilation, self.groups)
        require(min(sizes) >= 1 and min(self.padding) >= 0, "sizes must be at least 1")
        require(max(*sizes, *self.padding) <= _LARGEST, f"sizes must be at most {_LARGEST}")
        require(out % self.groups == 0, f"{self.groups} groups must divide {out} filters")
        inputs = self.weight[0].size
        require(inputs <= MOST_INPUTS, f"a filter must have at most {MOST_INPUTS} weights")
        for each in (self.scale, self.bias):
            is_vector = (each.dtype, each.shape) == (np.float32, (out,))
            require(is_vector, f"the scale and the bias must be float32 of shape ({out},)")
        geometry = self.geometry
        require(min(geometry.out_size) >= 1, "the kernel must fit into the padded map")
        count = out * int(np.prod(geometry.out_size))
        _check_bytes(self.inputs[0], geometry.in_channels * int(np.prod(self.size)))
        for value in self.inputs[1:]:
            _check_bytes(value, count)
        if self.out_zero is None:
            require(self.output.floats == count, f"the output must have {count} numbers")
        else:
            _check_bytes(self.output, count)

    def emit(self, to: Emission) -> None:
        layer = self.packed(_C.byte_isa_of(to.native.isa))
        residual = to.slot(self.inputs[1]) if len(self.inputs) > 1 else None
        to.native.byte_layer(layer, to.slot(self.inputs[0]), to.slot(self.output), residual)

    def overwritable(self) -> Sequence[Value]:
        if self.out_zero is None:
            return ()
        return [value for value in self.inputs[1:] if root(value) is not root(self.inputs[0])]


_LARGEST = 1 << 20
MOST_INPUTS = 1 << 16
"""Weights of one filter: sums of more products of bytes may not fit an int32."""


@dataclass(eq=False)
class BytePool(Node, OnBytes):
    """The largest byte of each window.

    Attributes:
        channels: maps.
        size, out_size: (height, width) before and after.
        kernel, stride, padding: (vertical, horizontal).
    """

    channels: int
    size: tuple[int, int]
    out_size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    def native(self) -> "_C.Pool":
        """Its sizes as the extension takes them."""
        window = self.kernel, self.stride, self.padding
        return native_pool(self.channels, (self.size, self.out_size), window)

    def check(self) -> None:
        check_shapes(self, 1)
        try:
            self.native()
        except ValueError as error:
            require(False, f"the kernels must be able to run it: {error}")
        _check_bytes(self.inputs[0], self.channels * self.size[0] * self.size[1])
        _check_bytes(self.output, self.channels * self.out_size[0] * self.out_size[1])

    def emit(self, to: Emission) -> None:
        to.native.byte_pool(to.slot(self.inputs[0]), to.slot(self.output), self.native())


@dataclass(eq=False)
class ByteMean(Node, OnBytes):
    """The mean of each map of bytes: `clamp(round((sum - pixels * zero) * factor) + out_zero)`.

    Attributes:
        maps, numbers: maps, and the bytes of each.
        zero: the input's zero point.
        factor: the input's scale / (the output's scale * numbers).
        out_zero, least, most: of the output.
    """

    maps: int
    numbers: int
    zero: int
    factor: float
    out_zero: int
    least: int
    most: int

    def check(self) -> None:
        check_shapes(self, 1)
        _check_range(self.zero, 0, 255)
        _check_range(self.out_zero, self.least, self.most)
        _check_bytes(self.inputs[0], self.maps * self.numbers)
        _check_bytes(self.output, self.maps)

    def emit(self, to: Emission) -> None:
        slots = to.slot(self.inputs[0]), to.slot(self.output)
        span = self.out_zero, self.least, self.most
        to.native.byte_mean(*slots, self.maps, self.numbers, self.zero, self.factor, span)


@dataclass(eq=False)
class ByteAdd(Node, OnBytes):
    """The sum of two values of bytes.

    Attributes:
        first, second: (zero, scale / the output's scale) of the two.
        zero, least, most: of the output.
    """

    first: tuple[int, float]
    second: tuple[int, float]
    zero: int
    least: int
    most: int

    def check(self) -> None:
        check_shapes(self, 2)
        _check_range(self.zero, self.least, self.most)
        for value in self.inputs:
            require(value.floats == self.output.floats, "both must be as large as the output")

    def emit(self, to: Emission) -> None:
        a, b = self.inputs
        span: Any = self.zero, self.least, self.most
        to.native.byte_add(
            to.slot(a), to.slot(b), to.slot(self.output), self.first, self.second, span
        )

    def overwritable(self) -> Sequence[Value]:
        return self.inputs
