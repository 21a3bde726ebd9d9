"""Packed once, a layer runs as often as it is called."""

import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

import numpy as np

from openwork.kernels.dispatch import candidates
from openwork.kernels.packed import Packed
from openwork.kernels.problem import Geometry, Problem


def test_a_weight_of_two_doubles_the_image_and_adds_bias_and_residual() -> None:
    weight, bias = np.array([2], np.float32), np.array([1], np.float32)
    problem = Problem(Geometry(1, 1, (5, 7), (1, 1)), 1, np.array([0]), weight, bias, "relu")
    image = np.arange(70, dtype=np.float32).reshape(2, 1, 5, 7) - 30
    residual = np.full_like(image, 3)
    for candidate in candidates(problem):
        packed = Packed(problem, candidate)
        assert repr(packed) == f"Packed({candidate.name})"
        workspace = np.empty(packed.workspace(2, 1), np.float32)
        for added in (None, residual):
            output = np.full_like(image, np.nan)
            packed.run(image, output, workspace, added)
            expected = np.maximum(2 * image + 1 + (0 if added is None else added), 0)
            np.testing.assert_allclose(output, expected, rtol=1e-6)
