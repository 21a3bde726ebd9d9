"""Nodes that only move numbers: concatenations and slices. Most of them cost nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from openwork.runtime.emission import Emission
from openwork.runtime.file_errors import require
from openwork.runtime.node import Node, check_shapes
from openwork.runtime.values import Value


@dataclass(eq=False)
class Concat(Node):
    """Inputs side by side along the channels.

    Attributes:
        parts: values; None stands for zero channels.
        channels: of each part.
    """

    parts: list[Value | None] = field(default_factory=list[Value | None])
    channels: list[int] = field(default_factory=list[int])

    def check(self) -> None:
        check_shapes(self)
        require(bool(self.parts), "it must have a part")
        require(len(self.parts) == len(self.channels), "each part must have its channels")
        values = [part for part in self.parts if part is not None]
        require(values == self.inputs, "its parts must be its inputs")
        require(min(self.channels) >= 1, "each part must have a channel")
        total = self.output.shape[0]
        require(sum(self.channels) == total, f"its parts must have {total} channels in all")
        for part, floats in self.pieces():
            if part is not None:
                require(part.floats == floats, f"{part.name!r} must have {floats} numbers")

    def emit(self, to: Emission) -> None:
        first = 0
        for part, floats in self.pieces():
            if part is None or not to.lies_at(part, self.output, first):
                target = to.part(self.output, first, floats)
                if part is None:
                    to.native.clear(target)
                else:
                    to.native.copy(to.slot(part), target)
            first += floats

    def pieces(self) -> Sequence[tuple[Value | None, int]]:
        floats = [channels * self.pixels for channels in self.channels]
        return list(zip(self.parts, floats, strict=True))


@dataclass(eq=False)
class Slice(Node):
    """Neighbouring channels of the input, from `first` on; the output's shape says how many."""

    first: int

    def check(self) -> None:
        check_shapes(self, 1)
        source, output = self.inputs[0].shape, self.output.shape
        require(source[1:] == output[1:], f"maps of {output} must be as large as those of {source}")
        last = source[0] - output[0]
        require(0 <= self.first <= last, f"`first`={self.first} must lie in [0, {last}]")

    def emit(self, to: Emission) -> None:
        source, first = self.part_of()
        if not to.lies_at(self.output, source, first):
            copied = to.part(source, first, self.output.floats)
            to.native.copy(copied, to.slot(self.output))

    def part_of(self) -> tuple[Value, int]:
        return self.inputs[0], self.first * self.pixels
