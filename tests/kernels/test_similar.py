"""A kernel of the same family with the tile that is nearest."""

import numpy as np

from openwork.kernels.dispatch import candidates
from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Geometry, Problem
from openwork.kernels.similar import similar_candidate


def _problem(size: int) -> Problem:
    positions = np.flatnonzero(np.random.default_rng(0).random(64 * 64) < 0.5)
    geometry = Geometry(64, 64, (size, size), (1, 1))
    return Problem(geometry, 1, positions, np.ones(positions.size, np.float32))


def test_a_kernel_that_can_run_is_itself() -> None:
    problem, isa = _problem(16), _C.chosen_isa()
    for each in candidates(problem, isa):
        found = similar_candidate(problem, each.name, isa)
        assert found is not None
        assert found.name == each.name


def test_of_a_family_that_cannot_run_there_is_none() -> None:
    isa = _C.chosen_isa()
    assert similar_candidate(_problem(16), f"f32-conv3x3-winograd4-v4k64g2-{isa}", isa) is None
    assert similar_candidate(_problem(16), "torch", isa) is None
