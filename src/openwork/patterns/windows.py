"""`Windows`: the local groups of neurons that scatter compares."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from openwork._arguments import check_count
from openwork.errors import ArgumentError


@dataclass(frozen=True)
class Windows:
    """Boxes of one size, `stride` apart, on a grid of neurons.

    Args:
        shape: shape of the grid, row-major (the last axis varies fastest). `(1024,)` is a vector,
            `(28, 28)` an image, `(4, 4, 256)` a feature map flattened with channels fastest, and
            `(256, 4, 4)` one flattened by torch. A layer may have more neurons than the grid; the
            neurons after it, such as padding, lie in no window.
        size: window size on each axis, or one number for all axes.
        stride: distance between windows on each axis, or one number for all axes. Windows that
            would extend beyond the grid are dropped.

    Raises:
        ArgumentError: a number below 1, a wrong number of axes, or a window larger than the grid.

    Source: "Characterizing Sparse Connectivity Patterns in Neural Networks" (Dey, Huang, Beerel,
    Chugg 2018), whose code has windows in one, two and three dimensions.

    >>> Windows((4, 4, 128), 2, 2).neurons[0]
    array([  0,   1, 128, 129, 512, 513, 640, 641])
    """

    shape: tuple[int, ...]
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __init__(
        self, shape: int | Sequence[int], size: int | Sequence[int], stride: int | Sequence[int]
    ) -> None:
        grid = _axes("shape", shape, 1)
        for name, value in (("size", size), ("stride", stride)):
            object.__setattr__(self, name, _axes(name, value, len(grid)))
        object.__setattr__(self, "shape", grid)
        if any(window > side for window, side in zip(self.size, grid, strict=True)):
            raise ArgumentError(f"`size`={self.size} must not be larger than `shape`={grid}")

    @property
    def span(self) -> int:
        """Neurons in the grid."""
        return math.prod(self.shape)

    @property
    def volume(self) -> int:
        """Neurons in a window."""
        return math.prod(self.size)

    @property
    def neurons(self) -> np.ndarray:
        """The neurons of each window: (windows, volume) int64, in ascending order."""
        grid = np.arange(self.span).reshape(self.shape)
        boxes = np.lib.stride_tricks.sliding_window_view(grid, self.size)
        steps = tuple(slice(None, None, stride) for stride in self.stride)
        return boxes[steps].reshape(-1, self.volume)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """The sum over each window: (n, neurons) -> (n, windows) float64, exact for integers.

        Works axis by axis, at a cost of size / stride additions per value and axis.
        """
        sums = values[:, : self.span].astype(np.float64).reshape(-1, *self.shape)
        for axis, (size, stride) in enumerate(zip(self.size, self.stride, strict=True), start=1):
            along = np.moveaxis(sums, axis, 0)
            last = len(along) - size
            parts = (along[first : first + last + 1 : stride] for first in range(size))
            sums = np.moveaxis(functools.reduce(np.add, parts), 0, axis)
        return sums.reshape(len(values), -1)


def _axes(argument: str, value: Any, axes: int) -> tuple[int, ...]:
    if not isinstance(value, int | Sequence):
        raise ArgumentError(f"`{argument}`={value!r} must be whole numbers, one per axis")
    numbers = (value,) * axes if isinstance(value, int) else tuple(value)
    for number in numbers:
        check_count(argument, number)
    if not numbers or (argument != "shape" and len(numbers) != axes):
        raise ArgumentError(
            f"`{argument}`={value!r} must be one number or {axes}, one per axis of `shape`"
        )
    return numbers
