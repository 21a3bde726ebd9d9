"""What nodes write to while they add their steps to a native program."""

from typing import get_args

import numpy as np
import pytest

from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Activation
from openwork.runtime.emission import Emission
from openwork.runtime.values import Alias, Value, View

X, Y = Value((2, 3), "x"), Value((2,), "y")


@pytest.fixture
def emission() -> Emission:
    """For a program that reads X in slot 0 and gives Y in slot 1."""
    program = _C.Program(_C.chosen_isa())
    slots = {X: program.input(X.floats), Y: program.output(Y.floats)}
    return Emission(program, slots, {}, lambda value: View(value, 0))


def test_an_alias_has_the_slot_of_its_value(emission: Emission) -> None:
    assert [emission.slot(value) for value in (X, Alias(X, (6,)), Y)] == [0, 0, 1]


def test_a_part_is_counted_in_floats_of_each_image(emission: Emission) -> None:
    program = emission.native
    program.copy(emission.part(Alias(X, (6,)), 3, 2), emission.slot(Y))
    images, found = np.arange(12, dtype=np.float32).reshape(2, 2, 3), np.empty((2, 2), np.float32)
    program.run([images], [found], np.empty(program.arena(2, 1), np.float32), 2, 1)
    assert found.tolist() == [[3, 4], [9, 10]]


def test_where_a_value_lies_is_counted_from_where_the_whole_lies() -> None:
    # X lies in `big` from float 10 on, and Y from float 14 on.
    big = Value((40,), "big")
    places = {X: View(big, 10), Y: View(big, 14)}
    emission = Emission(_C.Program(_C.chosen_isa()), {}, {}, places.__getitem__)
    assert [emission.lies_at(Y, X, first) for first in (3, 4, 5, 14)] == [False, True, False, False]
    places[Y] = View(Value((40,), "big"), 14)
    assert not emission.lies_at(Y, X, 4)


@pytest.mark.parametrize("name", get_args(Activation))
def test_an_activation_is_found_by_its_name(name: Activation, emission: Emission) -> None:
    assert emission.activation(name).name == name
