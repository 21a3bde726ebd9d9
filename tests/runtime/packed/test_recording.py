"""What nodes add to a recording is what a native program takes."""

import inspect

from openwork.kernels.native import extension as _C
from openwork.runtime.packed.recording import Recording

# Of a program that is complete.
_RUN = {"arena", "run"}
# Programs make chains of layers; a recording is told its instruction set.
_NEVER = {"chain", "isa"}


def test_it_has_every_method_that_nodes_may_call() -> None:
    native = {name for name in dir(_C.Program) if not name.startswith("_")}
    own = {name for name, _ in inspect.getmembers(Recording, inspect.isfunction)}
    assert native - own == _RUN | _NEVER


def test_slots_are_numbered_by_kind() -> None:
    recording = Recording("neon")
    numbers = [recording.input(4), recording.output(5), recording.input(6)]
    numbers += [recording.arena_slot(16, 7), recording.part(3, 2, 5)]
    assert numbers == [0, 1, 2, 3, 4]
    found = [(slot.kind, slot.at, slot.first, slot.floats) for slot in recording.made_slots]
    assert found == [(1, 0, 0, 4), (2, 0, 0, 5), (1, 1, 0, 6), (0, 16, 0, 7), (3, 3, 2, 5)]
