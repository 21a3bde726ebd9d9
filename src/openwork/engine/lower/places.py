"""`Places`: which numbers of a value a slice, a transpose or a view of it holds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from openwork.runtime.values import Value, contiguous


@dataclass(frozen=True)
class Places:
    """Numbers of `source`, along axes of these sizes.

    Attributes:
        source: a value.
        first: place of the first number in an image of `source`.
        sizes: of the axes, without the batch.
        steps: places of `source` from one number to the next along each axis.
    """

    source: Value
    first: int
    sizes: tuple[int, ...]
    steps: tuple[int, ...]

    @classmethod
    def of(cls, value: Value) -> Self:
        """All of `value`."""
        return cls(value, 0, value.shape, contiguous(value.shape))

    @property
    def are_all(self) -> bool:
        """Whether they are all numbers of `source`, in order."""
        return (
            self.first == 0
            and self.source.floats == Value(self.sizes, "").floats
            and all(
                size == 1 or step == wanted
                for size, step, wanted in zip(
                    self.sizes, self.steps, contiguous(self.sizes), strict=True
                )
            )
        )

    def part(self, axis: int, start: int, size: int, step: int = 1) -> Self:
        """Every `step`-th place of an axis, `size` in all; backwards if `step` is negative."""
        sizes, steps = list(self.sizes), list(self.steps)
        first = self.first + start * steps[axis]
        sizes[axis], steps[axis] = size, step * steps[axis]
        return replace(self, first=first, sizes=tuple(sizes), steps=tuple(steps))

    def ordered(self, axes: Sequence[int]) -> Self:
        """The axes in this order; those that are left out must have one place."""
        sizes, steps = ([held[axis] for axis in axes] for held in (self.sizes, self.steps))
        return replace(self, sizes=tuple(sizes), steps=tuple(steps))

    def split(self, axis: int, *sizes: int) -> Self:
        """An axis as several, whose sizes have the same product."""
        inner = tuple(step * self.steps[axis] for step in contiguous(sizes))
        return replace(
            self,
            sizes=(*self.sizes[:axis], *sizes, *self.sizes[axis + 1 :]),
            steps=(*self.steps[:axis], *inner, *self.steps[axis + 1 :]),
        )

    def stretched(self, sizes: Sequence[int]) -> Self:
        """Axes of one place repeated as often as `sizes` says."""
        steps = [
            0 if before == 1 else step for before, step in zip(self.sizes, self.steps, strict=True)
        ]
        return replace(self, sizes=tuple(sizes), steps=tuple(steps))
