"""Nodes that work along an axis: norms of groups and layers, reductions, rows times a vector."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Activation
from openwork.runtime.emission import Emission
from openwork.runtime.file_errors import require
from openwork.runtime.node import Node, TakesActivation, check_same_size, check_shapes
from openwork.runtime.nodes.function import require_member
from openwork.runtime.values import Value


@dataclass(eq=False)
class Normalize(Node, TakesActivation):
    """Numbers less their mean, over their deviation, along one axis; then an activation.

    The input is `[outer, size, inner]`. An output is `(x - mean) / sqrt(variance + eps) * weight +
    bias`, with the mean and the variance of the `size` numbers that x is one of.

    Attributes:
        size: numbers along the axis.
        inner: floats from one of them to the next. From 2 on, `repeat` is 1.
        repeat: neighbours, in the order of `[outer, size]`, that share a weight and a bias: the
            pixels of a map, where the numbers of several maps are taken together.
        eps: at least 0.
        weight, bias: `(size / repeat,)` or `(outer * size / repeat,)` float32, or None for ones and
            zeros.
        activation: applied last.
    """

    size: int
    inner: int
    repeat: int
    eps: float
    weight: np.ndarray | None
    bias: np.ndarray | None
    activation: Activation = "none"

    def check(self) -> None:
        check_shapes(self, 1)
        check_same_size(self)
        floats = self.output.floats
        _check_axis(self.size, self.inner, floats)
        require(self.eps >= 0, f"`eps`={self.eps} must be at least 0")
        require(self.repeat >= 1, f"`repeat`={self.repeat} must be at least 1")
        require(self.repeat == 1 or self.inner == 1, "columns must have a `repeat` of 1")
        allowed = {
            (covered // self.repeat,)
            for covered in (self.size, floats // self.inner)
            if covered % self.repeat == 0
        }
        for numbers in (self.weight, self.bias):
            if numbers is not None:
                fits = numbers.dtype == np.float32 and numbers.shape in allowed
                require(fits, f"weight and bias must be float32 of a shape in {sorted(allowed)}")
        if self.weight is not None and self.bias is not None:
            same = self.weight.shape == self.bias.shape
            require(same, "weight and bias must have the same shape")

    def emit(self, to: Emission) -> None:
        to.native.normalize(
            to.slot(self.inputs[0]),
            to.slot(self.output),
            self.size,
            self.inner,
            self.repeat,
            self.eps,
            [] if self.weight is None else self.weight.tolist(),
            [] if self.bias is None else self.bias.tolist(),
            to.activation(self.activation),
        )

    def overwritable(self) -> Sequence[Value]:
        return self.inputs


@dataclass(eq=False)
class Reduce(Node):
    """What the numbers along one axis become: `[outer, size, inner]` to `[outer, inner]`.

    Attributes:
        reduction: one of the extension's `Reduction`: the mean, the variance (the mean square of
            differences from the mean), the norm (the root of the sum of squares) or the sum.
        size: numbers along the axis.
        inner: floats from one of them to the next.
    """

    reduction: str
    size: int
    inner: int

    @property
    def step(self) -> tuple[str, str]:
        """(value, reduction)."""
        return self.output.name, self.reduction

    def check(self) -> None:
        check_shapes(self, 1)
        require_member(self.reduction, _C.Reduction)
        floats = self.inputs[0].floats
        _check_axis(self.size, self.inner, floats)
        left = floats // self.size
        require(self.output.floats == left, f"the output must have {left} numbers")

    def emit(self, to: Emission) -> None:
        slots = to.slot(self.inputs[0]), to.slot(self.output)
        to.native.reduce(*slots, _C.Reduction[self.reduction], self.size, self.inner)


@dataclass(eq=False)
class Dot(Node):
    """Each row of the first input times the second, summed: a weighted sum for each number."""

    def check(self) -> None:
        check_shapes(self, 2)
        rows, factors = self.inputs
        wanted = self.output.floats * factors.floats
        require(rows.floats == wanted, f"{rows.name!r} must have {wanted} numbers")

    def emit(self, to: Emission) -> None:
        rows, factors = map(to.slot, self.inputs)
        to.native.dot(rows, factors, to.slot(self.output))


def _check_axis(size: int, inner: int, floats: int) -> None:
    fits = size >= 1 and inner >= 1 and floats % (size * inner) == 0
    require(fits, f"`size`={size} times `inner`={inner} must divide {floats} numbers")
