"""Nodes that reduce maps: pools and means."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Activation
from openwork.kernels.to_native import native_activation
from openwork.runtime.emission import Emission
from openwork.runtime.file_errors import require
from openwork.runtime.node import Node, check_shapes

Pair = Sequence[int]


def native_pool(
    channels: int,
    sizes: tuple[Pair, Pair],
    window: tuple[Pair, Pair, Pair],
    *,
    average: bool = False,
    count_padding: bool = False,
    activation: Activation = "none",
) -> "_C.Pool":
    """A pool as the extension takes it.

    Args:
        channels: maps of an image.
        sizes: (height, width) before and after.
        window: kernel, stride and padding, (vertical, horizontal) each.
        average, count_padding, activation: as of `Pool`; by default a maximum.

    Raises:
        ValueError: the kernels cannot run such sizes.
    """
    (height, width), (out_height, out_width) = sizes
    kernel, stride, padding = window
    return _C.Pool(
        channels=channels,
        height=height,
        width=width,
        kernel_y=kernel[0],
        kernel_x=kernel[1],
        stride_y=stride[0],
        stride_x=stride[1],
        pad_y=padding[0],
        pad_x=padding[1],
        out_height=out_height,
        out_width=out_width,
        average=average,
        count_padding=count_padding,
        activation=native_activation(activation),
    )


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

    def native(self) -> "_C.Pool":
        """Its sizes as the extension takes them.

        Raises:
            ValueError: the kernels cannot run such sizes.
        """
        channels, *size = self.inputs[0].shape
        return native_pool(
            channels,
            (size, self.output.shape[1:]),
            (self.kernel, self.stride, self.padding),
            average=self.average,
            count_padding=self.count_padding,
            activation=self.activation,
        )

    def refusal(self) -> str | None:
        """Why the kernels cannot run such sizes; None if they can."""
        try:
            self.native()
        except ValueError as error:
            return str(error)
        return None

    def check(self) -> None:
        check_shapes(self, 1)
        before, after = self.inputs[0].shape, self.output.shape
        are_maps = len(before) == len(after) == 3 and before[0] == after[0]
        require(are_maps, f"{before} and {after} must both be (channels, height, width)")
        refusal = self.refusal()
        require(refusal is None, f"the kernels must be able to run it: {refusal}")
        if self.shift is not None:
            is_vector = (self.shift.dtype, self.shift.shape) == (np.float32, after[:1])
            require(is_vector, f"the shift must be float32 of shape ({after[0]},)")

    def emit(self, to: Emission) -> None:
        to.native.pool(
            to.slot(self.inputs[0]),
            to.slot(self.output),
            self.native(),
            [] if self.shift is None else self.shift.tolist(),
        )


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
