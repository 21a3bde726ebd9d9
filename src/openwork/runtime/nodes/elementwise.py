"""Nodes that compute each number from those at the same place: sums, channel factors, gates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from openwork.kernels.problem import Activation
from openwork.runtime.emission import Emission
from openwork.runtime.file_errors import require
from openwork.runtime.node import Node, TakesActivation, check_same_size, check_shapes
from openwork.runtime.values import Value, root


@dataclass(eq=False)
class Add(Node, TakesActivation):
    """The sum of one or two values, then an activation."""

    activation: Activation = "none"

    def check(self) -> None:
        check_shapes(self, 1, 2)
        check_same_size(self)

    def emit(self, to: Emission) -> None:
        first, *second = map(to.slot, self.inputs)
        to.native.add(
            first,
            second[0] if second else None,
            to.slot(self.output),
            to.activation(self.activation),
        )

    def overwritable(self) -> Sequence[Value]:
        return self.inputs


@dataclass(eq=False)
class Affine(Node, TakesActivation):
    """Each channel times `scale` plus `shift`, then an activation.

    Attributes:
        scale, shift: `(channels,)` float32 or float64.
        activation: applied last.
    """

    scale: np.ndarray
    shift: np.ndarray
    activation: Activation = "none"

    def check(self) -> None:
        check_shapes(self, 1)
        check_same_size(self)
        channels = self.inputs[0].shape[0]
        floats = (np.dtype(np.float32), np.dtype(np.float64))
        for numbers in (self.scale, self.shift):
            is_vector = numbers.shape == (channels,) and numbers.dtype in floats
            require(is_vector, f"scale and shift must be floats of shape ({channels},)")

    def emit(self, to: Emission) -> None:
        to.native.affine(
            to.slot(self.inputs[0]),
            to.slot(self.output),
            self.scale.tolist(),
            self.shift.tolist(),
            to.activation(self.activation),
        )

    def overwritable(self) -> Sequence[Value]:
        return self.inputs


@dataclass(eq=False)
class Gate(Node):
    """Each map of the first input times one number of the second."""

    def check(self) -> None:
        check_shapes(self, 2)
        maps, gates = self.inputs
        check_same_size(self, maps)
        channels = maps.shape[0]
        require(gates.floats == channels, f"it must have {channels} gates, one for each map")

    def emit(self, to: Emission) -> None:
        maps, gates = self.inputs
        to.native.gate(to.slot(maps), to.slot(gates), to.slot(self.output))

    def overwritable(self) -> Sequence[Value]:
        maps, gates = self.inputs
        return [] if root(maps) is root(gates) else [maps]
