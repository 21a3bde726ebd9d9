"""`Conv`: a convolution or linear layer, with what follows it."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from openwork.kernels.problem import Activation, Geometry, Problem
from openwork.patterns import Pattern
from openwork.runtime.emission import Emission
from openwork.runtime.file_errors import MalformedFile, require
from openwork.runtime.node import Node, TakesActivation, check_shapes
from openwork.runtime.values import Value, root

__all__ = ["live_positions"]


@dataclass(eq=False)
class Conv(Node, TakesActivation):
    """A convolution, or a linear layer as a 1x1 convolution of a 1x1 map.

    The first of `inputs` is the map; a second one is added before the activation.

    Attributes:
        layer: qualified name of the layer it was.
        size: (height, width) of the input map.
        shape: of the dense weight: `(out_channels, in_channels / groups, ky, kx)`.
        stride, padding, dilation: (vertical, horizontal).
        groups: groups of the convolution.
        positions: `(live,)` int64, places of the live taps in the dense weight, rising.
        weight: `(live,)` float32. A layer that torch runs is read and written with its dense
            weight, of `shape`, and then has no positions.
        bias: `(out_channels,)` float32 or None.
        activation: applied last.
        linear: whether it was a linear layer.
    """

    layer: str
    size: tuple[int, int]
    shape: tuple[int, int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    positions: np.ndarray
    weight: np.ndarray
    bias: np.ndarray | None
    activation: Activation = "none"
    linear: bool = False

    @property
    def step(self) -> tuple[str, str]:
        """(layer, kind)."""
        return self.layer, super().step[1]

    @property
    def density(self) -> float:
        """Live taps / all taps."""
        return self.positions.size / math.prod(self.shape)

    @property
    def is_dense(self) -> bool:
        """Whether it holds its dense weight instead of live weights and their positions."""
        return self.weight.ndim == 4

    def dense_weight(self) -> np.ndarray:
        """The weight with zeros, of `shape`; not a copy if there are none."""
        if self.density == 1:
            return self.weight.reshape(self.shape)
        dense = np.zeros(math.prod(self.shape), dtype=np.float32)
        dense[self.positions] = self.weight
        return dense.reshape(self.shape)

    def without_weights(self) -> "Conv":
        """The same layer, for a graph whose weights are packed already."""
        # Copies: a view would keep all of the weight alive.
        positions, weight = self.positions[:0].copy(), self.weight.reshape(-1)[:0].copy()
        return dataclasses.replace(self, positions=positions, weight=weight)

    def with_live_weights(self) -> "Conv":
        """The same layer with live weights and positions, if it holds its dense weight."""
        if not self.is_dense:
            return self
        positions = live_positions(self.weight)
        return dataclasses.replace(
            self, positions=positions, weight=self.weight.reshape(-1)[positions]
        )

    @property
    def geometry(self) -> Geometry:
        """Its sizes, as the kernels take them."""
        out, inside, height, width = self.shape
        window = (height, width), self.stride, self.padding, self.dilation
        return Geometry(inside * self.groups, out, self.size, *window)

    def problem(self, packs: dict[tuple[Any, ...], Any] | None = None) -> Problem:
        """The kernels' view of it, which shares `packs` with the same layer at other sizes."""
        return Problem(
            self.geometry,
            self.groups,
            self.positions,
            np.ascontiguousarray(self.weight),
            self.bias,
            self.activation,
            {} if packs is None else packs,
        )

    def check(self) -> None:
        check_shapes(self, 1, 2)
        out, inside, *kernel = self.shape
        sizes = (*self.shape, *self.size, *self.stride, *self.dilation, self.groups)
        require(min(sizes) >= 1 and min(self.padding) >= 0, "sizes must be at least 1")
        require(max(*sizes, *self.padding) <= _LARGEST, f"sizes must be at most {_LARGEST}")
        require(out % self.groups == 0, f"{self.groups} groups must divide {out} filters")
        height, width = self.geometry.out_size
        require(min(height, width) >= 1, "the kernel must fit into the padded map")
        first, *residual = self.inputs
        floats = inside * self.groups * math.prod(self.size)
        require(first.floats == floats, f"the input must have {floats} numbers")
        for value in (self.output, *residual):
            floats = out * height * width
            require(value.floats == floats, f"{value.name!r} must have {floats} numbers")
        if self.linear:
            sizes = (height, width, *self.size, *kernel, self.groups)
            require(set(sizes) == {1}, "a linear layer must have sizes of 1 and one group")
        self._check_weights(out)

    def _check_weights(self, out: int) -> None:
        require(self.weight.dtype == np.float32, "the weight must be float32")
        if self.weight.ndim == 1:
            require(
                self.weight.shape == self.positions.shape,
                f"{self.positions.size} live taps must have a weight each",
            )
        else:
            require(self.weight.shape == self.shape, f"the weight must be of shape {self.shape}")
        if self.bias is not None:
            is_vector = (self.bias.dtype, self.bias.shape) == (np.float32, (out,))
            require(is_vector, f"the bias must be float32 of shape ({out},)")

    def emit(self, to: Emission) -> None:
        residual = to.slot(self.inputs[1]) if len(self.inputs) > 1 else None
        to.native.layer(to.layers[self], to.slot(self.inputs[0]), to.slot(self.output), residual)

    def overwritable(self) -> Sequence[Value]:
        # A residual's number is read just before its place is written; the map is read everywhere.
        return [value for value in self.inputs[1:] if root(value) is not root(self.inputs[0])]

    def fields(self) -> dict[str, Any]:
        return super().fields() | {"positions": None if self.is_dense else self._pattern()}

    def _pattern(self) -> Pattern:
        taps = np.zeros(math.prod(self.shape), dtype=bool)
        taps[self.positions] = True
        return Pattern(taps.reshape(self.shape), self.groups)

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        pattern = fields["positions"]
        positions = np.zeros(0, dtype=np.int64)
        if pattern is not None:
            own = fields["shape"], fields["groups"]
            if not isinstance(pattern, Pattern) or (pattern.shape, pattern.groups) != own:
                raise MalformedFile(f"a layer's pattern must be of its shape and groups, {own}")
            positions = pattern.positions
        return super().from_fields(fields | {"positions": positions})


# The largest size, also where torch runs the layer; dispatch checks the kernels' own bounds.
_LARGEST = (1 << 31) - 1


def live_positions(weight: np.ndarray) -> np.ndarray:
    """Places of the live taps: whole kernels, unless a quarter of their taps are dead too.

    Args:
        weight: `(out_channels, in_channels / groups, ky, kx)`.

    Returns:
        `(live,)` int64, rising.
    """
    kernels = weight.reshape(weight.shape[0] * weight.shape[1], -1)
    alive = kernels.any(axis=1)
    taps = np.flatnonzero(weight)
    if taps.size < 0.75 * alive.sum() * kernels.shape[1]:
        return taps
    return np.flatnonzero(np.repeat(alive, kernels.shape[1]))
