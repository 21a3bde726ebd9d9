"""Positions as distances: one byte where they fit, and every rule of theirs checked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openwork.errors import ArgumentError
from openwork.patterns.gaps import decode, encode


def test_positions_become_distances_of_one_byte() -> None:
    gaps = encode(np.array([0, 3, 258]))
    assert gaps.tolist() == [0, 3, 255]
    assert gaps.dtype == np.uint8
    assert not gaps.flags.writeable


def test_a_long_distance_takes_four_bytes() -> None:
    gaps = encode(np.array([0, 256]))
    assert gaps.tolist() == [0, 256]
    assert gaps.dtype == np.int32


@given(st.sets(st.integers(0, 2000)))
def test_decoding_is_the_inverse(places: set[int]) -> None:
    positions = np.array(sorted(places), dtype=np.int64)
    assert np.array_equal(decode(encode(positions), 2001), positions)


def test_a_distance_of_more_than_31_bits_is_refused() -> None:
    with pytest.raises(ArgumentError, match="at most 2147483647; split the layer"):
        encode(np.array([0, 2**31]))


@pytest.mark.parametrize(
    ("gaps", "message"),
    [
        (np.array([0, 1]), "uint8 or int32, not 1-d int64"),
        (np.zeros((1, 1), np.uint8), "not 2-d uint8"),
        (np.array([1, 0], np.uint8), "must increase"),
        (np.array([-1, 2], np.int32), "must increase"),
        (np.array([4, 6], np.uint8), "reaches position 10 of a layer of 10 units"),
    ],
)
def test_damaged_gaps_are_refused(gaps: np.ndarray, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        decode(gaps, 10)
