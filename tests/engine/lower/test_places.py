"""Which numbers a slice, a transpose or a view holds, as numpy says."""

import numpy as np

from openwork.engine.lower.places import Places
from openwork.runtime.values import Value

X = Value((4, 6, 5), "x")
NUMBERS = np.arange(120).reshape(4, 6, 5)


def _held(places: Places) -> np.ndarray:
    grids = np.indices(places.sizes)
    steps = zip(places.steps, grids, strict=True)
    return np.sum([step * grid for step, grid in steps], axis=0) + places.first


def test_each_form_is_numpys() -> None:
    every = Places.of(X)
    assert np.array_equal(_held(every), NUMBERS)
    assert np.array_equal(_held(every.part(1, 1, 3, 2)), NUMBERS[:, 1::2])
    assert np.array_equal(_held(every.part(2, 4, 5, -1)), NUMBERS[:, :, ::-1])
    assert np.array_equal(_held(every.ordered([2, 0, 1])), NUMBERS.transpose(2, 0, 1))
    assert np.array_equal(_held(every.split(1, 2, 3)), NUMBERS.reshape(4, 2, 3, 5))
    assert np.array_equal(_held(every.part(0, 2, 1).ordered([1, 2])), NUMBERS[2])
    one = every.part(1, 3, 1).stretched((4, 7, 5))
    assert np.array_equal(_held(one), NUMBERS[:, 3:4].repeat(7, 1))
    both = every.ordered([1, 2, 0]).part(0, 0, 3, 2).part(2, 1, 2)
    assert np.array_equal(_held(both), NUMBERS.transpose(1, 2, 0)[::2, :, 1:3])


def test_whether_they_are_all() -> None:
    every = Places.of(X)
    assert every.are_all
    assert every.split(0, 2, 2).are_all
    assert every.ordered([1, 0, 2]).ordered([1, 0, 2]).are_all
    assert not every.ordered([1, 0, 2]).are_all
    assert not every.part(0, 0, 3).are_all
    assert not every.part(0, 3, 4, -1).are_all
