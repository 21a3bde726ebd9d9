"""`Native`: consecutive nodes as one native program; `Runs`: a program and its memory."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, final

import numpy as np

from openwork.errors import ArgumentError
from openwork.kernels.native import extension as _C
from openwork.runtime.aliasing import Aliasing
from openwork.runtime.emission import Emission
from openwork.runtime.lifetimes import Lifetime, place
from openwork.runtime.memory import empty_floats
from openwork.runtime.node import Node
from openwork.runtime.values import Value, root

__all__ = ["Native"]


class Runs:
    """A program that is complete, and the memory that its calls take turns with.

    Args:
        program: native.
        reads: values, none of them an alias, that `run` takes.
        outputs: values that `run` gives.
        owners: which of the steps that `run` times each step of the program belongs to.

    Attributes:
        reads, outputs: as above.
    """

    def __init__(
        self,
        program: "_C.Program",
        reads: Sequence[Value],
        outputs: Sequence[Value],
        owners: Sequence[int],
    ) -> None:
        self._program = program
        self.reads, self.outputs = reads, outputs
        self._owners = owners
        # Concurrent calls each take an arena, or make one, and put it back.
        self._free: list[np.ndarray] = []

    def run(
        self,
        inputs: Sequence[np.ndarray],
        outputs: Sequence[np.ndarray],
        batch: int,
        threads: int,
        seconds: np.ndarray | None = None,
    ) -> None:
        """Compute all outputs. Several threads may call at once.

        Args:
            inputs: `(batch, *shape)` contiguous float32 for each of `reads`.
            outputs: the same for each of `self.outputs`; overwritten.
            batch: images.
            threads: of the OpenMP pool.
            seconds: `(steps,)` float64, receives the time of each step; or None.

        Raises:
            ArgumentError: there are more images than the kernels take.
        """
        arena = self._arena(batch, threads)
        own = None if seconds is None else np.zeros(len(self._owners))
        self._program.run(inputs, outputs, arena, batch, threads, own)
        if seconds is not None:
            seconds[:] = np.bincount(self._owners, own, len(seconds))
        self._free.append(arena)

    def _arena(self, batch: int, threads: int) -> np.ndarray:
        if batch > _C.most_batch:
            raise ArgumentError(
                f"a batch of {batch} images is larger than the kernels take; give at most "
                f"{_C.most_batch} at a time"
            )
        floats = self._program.arena(batch, threads)
        try:
            # One atomic operation, unlike a check and then a pop.
            arena = self._free.pop()
        except IndexError:
            arena = None
        return empty_floats(floats) if arena is None or arena.size < floats else arena


@final
class Native(Runs):
    """Consecutive nodes as one program.

    Args:
        nodes: the steps.
        layers: the packed layer of each `Conv` among them.
        wanted: values that something after these nodes reads.
        isa: instruction set.

    Attributes:
        steps: (layer or value, kind) of each node.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        layers: Mapping[Any, "_C.Layer"],
        wanted: Collection[Value],
        isa: str,
    ) -> None:
        program = _C.Program(isa)
        made = [root(node.output) for node in nodes]
        read = dict.fromkeys(root(value) for node in nodes for value in node.inputs)
        reads = [value for value in read if value not in set(made)]
        outputs = [value for value in made if value in wanted]
        super().__init__(program, reads, outputs, add_steps(program, nodes, layers, reads, outputs))
        self.steps = [node.step for node in nodes]


def add_steps(
    program: "_C.Program",
    nodes: Sequence[Node],
    layers: Mapping[Any, "_C.Layer"],
    reads: Sequence[Value],
    outputs: Sequence[Value],
) -> list[int]:
    """Give every value of `nodes` a place in `program`, and add their steps.

    Args:
        program: empty.
        nodes: in order.
        layers: the packed layer of each `Conv` among them.
        reads: values that a run takes.
        outputs: values that a run gives.

    Returns:
        Which of `nodes` each step of the program belongs to.
    """
    slots = {value: program.input(value.floats) for value in reads}
    slots |= {value: program.output(value.floats) for value in outputs}
    aliasing = Aliasing(nodes, slots.keys())
    _place(program, nodes, aliasing, slots)
    emission = Emission(program, slots, layers, aliasing.view)
    owners: list[int] = []
    for index, node in enumerate(nodes):
        node.emit(emission)
        owners += [index] * (program.steps() - len(owners))
    return owners


def _place(
    program: "_C.Program", nodes: Sequence[Node], aliasing: Aliasing, slots: dict[Value, int]
) -> None:
    """Give each value of `nodes` without a slot one in the arena, or a part of another's."""
    values = dict.fromkeys(root(value) for node in nodes for value in [node.output, *node.inputs])
    lifetimes: dict[Value, Lifetime] = {}
    for step, node in enumerate(nodes):
        for value in [node.output, *node.inputs]:
            whole = aliasing.view(value).whole
            if whole not in slots:
                first = lifetimes[whole].first if whole in lifetimes else step
                lifetimes[whole] = Lifetime(whole.floats, first, step)
    for value, offset in place(lifetimes).items():
        slots[value] = program.arena_slot(offset, value.floats)
    for value in values:
        if value not in slots:
            view = aliasing.view(value)
            slots[value] = program.part(slots[view.whole], view.first, value.floats)
