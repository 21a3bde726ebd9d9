"""Filters in the Winograd domain: by hand, and by the convolution that they are made for."""

import numpy as np
import pytest

from openwork.kernels.pack_winograd import transform_filters


def test_the_small_tile_by_hand() -> None:
    corner, ones = np.zeros((1, 9)), np.ones((1, 9))
    corner[0, 0] = 1
    first = np.array([1, 1 / 2, 1 / 2, 0])
    sums = np.array([1, 3 / 2, 1 / 2, 1])
    found = transform_filters(np.concatenate([corner, ones]), 2)
    assert found.dtype == np.float32
    assert np.array_equal(found[:, 0].reshape(4, 4), np.outer(first, first))
    assert np.array_equal(found[:, 1].reshape(4, 4), np.outer(sums, sums))


@pytest.mark.parametrize("output", [2, 4])
def test_rows_are_values_of_the_filter_as_a_polynomial(output: int) -> None:
    """Each row is f(t) = a + bt + ct^2 at a point t, up to a scale; the last one is c."""
    points = [0, 1, -1, 2, -2][: output + 1]
    kernels = np.random.default_rng(0).standard_normal((5, 9))
    found = transform_filters(kernels, output).T.reshape(5, output + 2, output + 2)
    powers = np.array([[t**0, t**1, t**2] for t in points] + [[0, 0, 1]], dtype=np.float64)
    expected = powers @ kernels.reshape(5, 3, 3) @ powers.T
    scale = (found / expected)[0]
    assert np.linalg.matrix_rank(scale, tol=1e-4) == 1
    np.testing.assert_allclose(found, expected * scale, rtol=1e-5, atol=1e-6)
    assert scale[-1, -1] == pytest.approx(1, rel=1e-6)
