"""Nodes of functions that no convolution ends in: of each number alone, and softmax."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openwork.kernels.native import extension as _C
from openwork.runtime.emission import Emission
from openwork.runtime.file_errors import require
from openwork.runtime.node import Node, check_same_size, check_shapes
from openwork.runtime.values import Value, root


def require_member(name: str, kind: Any) -> None:
    """Refuse a `name` that `kind`, an enumeration of the extension, lacks."""
    known = kind.__members__
    require(name in known, f"{name!r} must be one of {', '.join(known)}")


@dataclass(eq=False)
class PointFunction(Node):
    """A function of each number alone.

    Attributes:
        function: one of the extension's `Function`; what each computes and its parameters are said
            in `csrc/simd/functions.h`.
        numbers: the parameters.
    """

    function: str
    numbers: tuple[float, ...] = ()

    @property
    def step(self) -> tuple[str, str]:
        """(value, function)."""
        return self.output.name, self.function

    def check(self) -> None:
        check_shapes(self, 1)
        check_same_size(self)
        require_member(self.function, _C.Function)
        wanted = _C.parameters_of(_C.Function[self.function])
        require(len(self.numbers) == wanted, f"{self.function} must have {wanted} numbers")

    def emit(self, to: Emission) -> None:
        function = _C.Function[self.function]
        to.native.map(to.slot(self.inputs[0]), to.slot(self.output), function, self.numbers)

    def overwritable(self) -> Sequence[Value]:
        return self.inputs


@dataclass(eq=False)
class Arithmetic(Node):
    """The difference, product, quotient or sum of two values, number by number.

    Attributes:
        operation: one of the extension's `Operation`.
    """

    operation: str

    @property
    def step(self) -> tuple[str, str]:
        """(value, operation)."""
        return self.output.name, self.operation

    def check(self) -> None:
        check_shapes(self, 2)
        check_same_size(self)
        require_member(self.operation, _C.Operation)

    def emit(self, to: Emission) -> None:
        one, two = map(to.slot, self.inputs)
        to.native.combine(one, two, to.slot(self.output), _C.Operation[self.operation])

    def overwritable(self) -> Sequence[Value]:
        return self.inputs


@dataclass(eq=False)
class Spread(Node):
    """The difference, product, quotient or sum of a value and a smaller one.

    The second input is `[outer, inner]`; each of its numbers counts for all repeats of the first,
    which is `[outer, repeats, inner]`.

    Attributes:
        operation: one of the extension's `Operation`.
        inner: 1 if the second input has one number for each of the first axes of the first.
    """

    operation: str
    inner: int = 1

    @property
    def step(self) -> tuple[str, str]:
        """(value, operation)."""
        return self.output.name, self.operation

    def check(self) -> None:
        check_shapes(self, 2)
        large, small = self.inputs
        check_same_size(self, large)
        require_member(self.operation, _C.Operation)
        fits = self.inner >= 1 and not small.floats % self.inner
        require(
            fits, f"`inner`={self.inner} must divide the {small.floats} numbers of {small.name!r}"
        )
        require(not large.floats % small.floats, f"{small.name!r} must fit into {large.name!r}")

    def emit(self, to: Emission) -> None:
        large, small = map(to.slot, self.inputs)
        operation = _C.Operation[self.operation]
        to.native.spread(large, small, to.slot(self.output), operation, self.inner)

    def overwritable(self) -> Sequence[Value]:
        large, small = self.inputs
        return [] if root(large) is root(small) else [large]


@dataclass(eq=False)
class PRelu(Node):
    """Negative numbers times the slope of their channel.

    Attributes:
        slope: `(channels,)` float32.
    """

    slope: np.ndarray

    def check(self) -> None:
        check_shapes(self, 1)
        check_same_size(self)
        wanted = self.inputs[0].shape[:1]
        is_vector = (self.slope.dtype, self.slope.shape) == (np.float32, wanted)
        require(is_vector, f"the slope must be float32 of shape {wanted}")

    def emit(self, to: Emission) -> None:
        to.native.prelu(to.slot(self.inputs[0]), to.slot(self.output), self.slope.tolist())

    def overwritable(self) -> Sequence[Value]:
        return self.inputs


@dataclass(eq=False)
class Softmax(Node):
    """Softmax along one axis of the input's shape.

    Attributes:
        axis: counted from 0 without the batch.
        log: whether it is the logarithm.
    """

    axis: int
    log: bool = False

    def check(self) -> None:
        check_shapes(self, 1)
        check_same_size(self)
        rank = len(self.inputs[0].shape)
        require(0 <= self.axis < rank, f"`axis`={self.axis} must lie in [0, {rank - 1}]")

    def emit(self, to: Emission) -> None:
        source = self.inputs[0]
        inner = math.prod(source.shape[self.axis + 1 :])
        slots = to.slot(source), to.slot(self.output)
        to.native.softmax(*slots, source.shape[self.axis], inner, self.log)

    def overwritable(self) -> Sequence[Value]:
        return self.inputs
