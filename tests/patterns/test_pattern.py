"""`Pattern`: an immutable value with one canonical form."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import Rectangle

from openwork.errors import ArgumentError
from openwork.patterns import Pattern, dense


def _taps(seed: int, shape: tuple[int, ...], density: float) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < density


_shapes = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(1, 4)),
)


@given(st.integers(0, 2**32), _shapes, st.floats(0, 1))
def test_every_stored_form_gives_the_same_pattern_back(
    seed: int, shape: tuple[int, ...], density: float
) -> None:
    taps = _taps(seed, shape, density)
    pattern = Pattern(taps)
    assert np.array_equal(pattern.taps, taps)
    assert np.array_equal(pattern.positions, np.flatnonzero(taps))
    assert pattern.live == taps.sum()
    assert Pattern.from_dict(pattern.to_dict()) == pattern
    assert Pattern.from_gaps(shape, pattern.gaps, whole=pattern.whole) == pattern
    assert pickle.loads(pickle.dumps(pattern)) == pattern
    assert copy.deepcopy(pattern) == pattern


@given(st.integers(0, 2**32), st.sampled_from([1, 2, 3]), st.floats(0, 1))
def test_fans_and_density_count_what_is_live(seed: int, groups: int, density: float) -> None:
    shape = (6, 4, 3, 2)
    taps = _taps(seed, shape, density)
    pattern = Pattern(taps, groups)
    alive = taps.any(axis=(2, 3))
    assert np.array_equal(pattern.fan_in, alive.sum(axis=1))
    by_group = alive.reshape(groups, 6 // groups, 4).sum(axis=1).reshape(-1)
    assert np.array_equal(pattern.fan_out, by_group)
    assert np.array_equal(pattern.connections, np.argwhere(alive))
    assert pattern.density == taps.mean()
    assert pattern.macs(5, 7) == taps.sum() * 35
    assert pattern.in_channels == 4 * groups


def test_equal_patterns_have_equal_hashes_and_others_differ() -> None:
    taps = _taps(1, (8, 6, 3, 3), 0.3)
    other = taps.copy()
    other[0, 0, 0, 0] ^= True
    assert Pattern(taps) == Pattern(taps.copy())
    assert hash(Pattern(taps)) == hash(Pattern(taps.copy()))
    assert Pattern(taps) != Pattern(other)
    assert Pattern(taps) != Pattern(taps, groups=2)
    assert len({Pattern(taps), Pattern(taps.copy()), Pattern(other)}) == 2


def test_a_whole_kernel_pattern_is_the_same_from_taps_and_from_positions() -> None:
    alive = _taps(2, (8, 6), 0.3)
    taps = np.broadcast_to(alive[:, :, None, None], (8, 6, 3, 3))
    pattern = Pattern.from_positions((8, 6, 3, 3), np.flatnonzero(alive))
    assert pattern == Pattern(taps)
    assert pattern.whole
    assert pattern.gaps.size == alive.sum()


def test_distances_beyond_a_byte_are_kept_in_four() -> None:
    pattern = Pattern.from_positions((2, 400), np.array([3, 600]))
    assert pattern.gaps.dtype == np.int32
    assert pattern.positions.tolist() == [3, 600]


def test_distances_beyond_four_bytes_are_refused() -> None:
    with pytest.raises(ArgumentError, match="lie 3999999995 apart"):
        Pattern.from_positions((70000, 70000), np.array([5, 4_000_000_000]))


def test_nothing_about_a_pattern_can_be_changed() -> None:
    pattern = Pattern(_taps(3, (4, 4), 0.5))
    with pytest.raises(AttributeError, match="cannot change"):
        pattern.groups = 2
    for array in (pattern.gaps, pattern.fan_in, pattern.fan_out):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 9


def test_a_dead_pattern_is_a_pattern() -> None:
    pattern = Pattern(np.zeros((3, 4, 3, 3), dtype=bool))
    assert (pattern.live, pattern.density) == (0, 0)
    assert pattern.fan_in.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("taps", "groups", "message"),
    [
        (np.ones((2, 2)), 1, "must be boolean"),
        (np.ones(4, dtype=bool), 1, r"must be \(out, in\)"),
        (np.ones((2, 0), dtype=bool), 1, "`in_channels`=0"),
        (np.ones((3, 2, 3, 3), dtype=bool), 2, "`groups`=2 must divide both"),
        (np.ones((4, 2), dtype=bool), 2, "must be 1 for a linear layer"),
    ],
)
def test_what_is_no_pattern_is_refused(taps: np.ndarray, groups: int, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Pattern(taps, groups)


@pytest.mark.parametrize(
    ("gaps", "message"),
    [
        (np.array([1, 2], dtype=np.int64), "uint8 or int32"),
        (np.array([[1, 2]], dtype=np.uint8), "2-d uint8"),
        (np.array([1, 0], dtype=np.uint8), "must increase"),
        (np.array([-1, 3], dtype=np.int32), "must increase"),
        (np.array([3, -1], dtype=np.int32), "must increase"),
        (np.array([3, 9], dtype=np.uint8), "reaches position 12 of a layer of 12"),
    ],
)
def test_a_stored_form_that_would_leave_the_layer_is_refused(
    gaps: np.ndarray, message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        Pattern.from_gaps((3, 4, 3, 3), gaps, whole=True)


@given(st.integers(0, 2**30), st.sampled_from([0.02, 0.5, 0.98, 1.0]))
def test_positions_of_single_taps_say_the_same_as_the_array(seed: int, density: float) -> None:
    taps = _taps(seed, (3, 4, 2, 2), density)
    pattern = Pattern.from_positions(taps.shape, np.flatnonzero(taps), whole=False)
    assert pattern == Pattern(taps)
    assert pattern.whole == Pattern(taps).whole


@pytest.mark.parametrize("positions", [[0.9, 1.9], [True, False], [[1, 2]], [2**70]])
def test_positions_are_a_vector_of_whole_numbers(positions: list) -> None:
    with pytest.raises(ArgumentError, match="must be a vector of whole numbers"):
        Pattern.from_positions((3, 4), np.array(positions))


@pytest.mark.parametrize("positions", [[1, 1], [-1, 2], [3, 12]])
def test_positions_are_checked(positions: list[int]) -> None:
    with pytest.raises(ArgumentError, match="distinct and lie in"):
        Pattern.from_positions((3, 4), np.array(positions))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": 1}, "has the keys"),
        ({3: 1}, "has the keys"),
        ({"shape": 5}, "`shape`=5 must be"),
        ({"shape": ["a", "b"]}, "all whole numbers"),
        ({"shape": [None, 3]}, "all whole numbers"),
        ({"shape": [4.9, 4]}, "all whole numbers"),
        ({"unit": "filter"}, "`unit`='filter'"),
        ({"gaps": "int64:AAAA"}, "must begin with"),
        ({"gaps": "uint8:?"}, "damaged"),
        ({"gaps": "int32:AAA="}, "damaged"),
    ],
)
def test_damaged_data_is_refused(change: dict[Any, Any], message: str) -> None:
    data = Pattern(_taps(4, (4, 4), 0.5)).to_dict() | change
    with pytest.raises(ArgumentError, match=message):
        Pattern.from_dict(data)


def test_macs_need_the_size_of_the_output() -> None:
    with pytest.raises(ArgumentError, match=r"must have 2 numbers"):
        dense(4, 4, 3).macs()
    assert dense(4, 5).macs() == 20


def test_the_picture_shows_what_is_live() -> None:
    taps = _taps(5, (6, 4, 3, 3), 0.4)
    figure = Pattern(taps, groups=2).show()
    matrix, columns, lines = figure.axes
    shown = np.asarray(matrix.images[0].get_array())
    assert shown.shape == (6, 8)
    shares = taps.mean(axis=(2, 3))
    assert np.allclose(shown[:3, :4], shares[:3])
    assert np.allclose(shown[3:, 4:], shares[3:])
    assert shown[:3, 4:].max() == 0
    heights = [bar.get_height() for bar in columns.patches if isinstance(bar, Rectangle)]
    assert heights == Pattern(taps, groups=2).fan_out.tolist()
    assert len(lines.patches) == 6
