"""`Windows` on vectors, images and feature maps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openwork.errors import ArgumentError
from openwork.patterns import Windows


# The examples that the authors' code gives.
def test_windows_lie_where_the_papers_code_has_them() -> None:
    vector = Windows(1024, 16, 8).neurons
    assert vector.shape == (127, 16)
    assert vector[1].tolist() == list(range(8, 24))
    image = Windows((32, 32), 4, 2).neurons
    assert image.shape == (225, 16)
    assert image[1].tolist() == [y * 32 + x for y in range(4) for x in range(2, 6)]
    assert image[15][0] == 64
    maps = Windows((4, 4, 128), 2, 2).neurons
    assert maps.shape == (256, 8)
    assert maps[0].tolist() == [0, 1, 128, 129, 512, 513, 640, 641]


@st.composite
def _windows(draw: st.DrawFn) -> Windows:
    shape = draw(st.lists(st.integers(1, 7), min_size=1, max_size=3))
    size = [draw(st.integers(1, side)) for side in shape]
    return Windows(shape, size, [draw(st.integers(1, 5)) for _ in shape])


@given(_windows(), st.integers(0, 3), st.integers(0, 2**30))
def test_sums_add_up_the_neurons_of_each_window(windows: Windows, padding: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    values = draw.integers(0, 2**40, (3, windows.span + padding))
    assert np.array_equal(windows.sums(values), values[:, windows.neurons].sum(axis=2))


def test_windows_are_data() -> None:
    assert Windows((8, 8), 2, 1) == Windows([8, 8], (2, 2), (1, 1))
    assert hash(Windows(8, 2, 1)) == hash(Windows((8,), (2,), (1,)))
    assert Windows((8, 8), 2, 1) != Windows((8, 8), 2, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((8, 9, 1), r"`size`=\(9,\) must not be larger than `shape`=\(8,\)"),
        ((8, 0, 1), "`size`=0"),
        ((8, 2, 0), "`stride`=0"),
        (((8, 8), (2, 2, 2), 1), r"`size`=\(2, 2, 2\) must be one number or 2"),
        (((), 1, 1), r"`shape`=\(\)"),
        ((8.0, 1, 1), "`shape`=8.0 must be whole numbers"),
    ],
)
def test_bad_windows_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Windows(*arguments)
