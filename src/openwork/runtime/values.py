"""Values: the tensors between nodes, and where they lie in memory."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Alias", "Value", "contiguous", "root"]


@dataclass(eq=False)
class Value:
    """A tensor between nodes. Its shape is that of one image: the batch axis is left out.

    Attributes:
        shape: of one image, such as `(channels, height, width)`.
        name: for tables and messages.
    """

    shape: tuple[int, ...]
    name: str

    @property
    def floats(self) -> int:
        """Numbers in one image."""
        return int(np.prod(self.shape))


class Alias(Value):
    """A reshaped view of `of`; shares its memory."""

    def __init__(self, of: Value, shape: tuple[int, ...]) -> None:
        super().__init__(shape, of.name)
        self.of = root(of)


def root(value: Value) -> Value:
    """The value that owns the numbers of `value`: itself, unless it is an alias."""
    return value.of if isinstance(value, Alias) else value


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Floats from one place to the next along each axis of an array without gaps."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


@dataclass(frozen=True)
class View:
    """Where a value lies: in each image of `whole`, from float `first` on."""

    whole: Value
    first: int
