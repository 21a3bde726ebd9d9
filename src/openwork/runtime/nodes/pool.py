"""Nodes that reduce maps: pools and means."""

from dataclasses import dataclass

import numpy as np

from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Activation
from openwork.runtime.emission import Emission
from openwork.runtime.file_errors import require
from openwork.runtime.node import Node, check_shapes


@dataclass(eq=False)
class Pool(Node):
    """A maximum or average over windows; an average may add `shift` and apply an activation.

    Attributes:
        kernel, stride, padding: (vertical, horizontal).
        average: the mean of a window, not its maximum.
        count_padding: whether an average counts the padding's zeros.
        shift: `(channels,)` float32 or None.
        activation: applied last.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    average: bool
    count_padding: bool
    shift: np.ndarray | None = None
    activation: Activation = "none"

    def refusal(self) -> str | None:
        """Why the kernels cannot run such sizes; None if they can."""
        return _C.pool_refusal(self._sizes())

    def check(self) -> None:
        check_shapes(self, 1)
        before, after = self.inputs[0].shape, self.output.shape
        are_maps = len(before) == len(after) == 3 and before[0] == after[0]
        require(are_maps, f"{before} and {after} must be (channels, height, width) alike")
        refusal = self.refusal()
        require(refusal is None, f"the kernels must be able to run it: {refusal}")
        if self.shift is not None:
            is_vector = (self.shift.dtype, self.shift.shape) == (np.float32, after[:1])
            require(is_vector, f"the shift must be float32 of shape ({after[0]},)")

    def emit(self, to: Emission) -> None:
        to.native.pool(
            to.slot(self.inputs[0]),
            to.slot(self.output),
            self._sizes(),
            self.average,
            self.count_padding,
            [] if self.shift is None else self.shift.tolist(),
            to.activation(self.activation),
        )

    def _sizes(self) -> list[int]:
        """The 11 whole numbers of csrc/maps.h's `Pool`, in its order."""
        windows = (*self.kernel, *self.stride, *self.padding)
        return [*self.inputs[0].shape, *windows, *self.output.shape[1:]]


@dataclass(eq=False)
class Mean(Node):
    """The mean of each map."""

    def check(self) -> None:
        check_shapes(self, 1)
        shape = self.inputs[0].shape
        require(len(shape) == 3, f"the input must be (channels, height, width), not {shape}")
        require(self.output.floats == shape[0], f"the output must have {shape[0]} numbers")

    def emit(self, to: Emission) -> None:
        to.native.mean(to.slot(self.inputs[0]), to.slot(self.output))
