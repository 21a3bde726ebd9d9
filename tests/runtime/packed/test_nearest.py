"""The kernel of another processor that is most like one of this."""

import numpy as np
import pytest

from openwork.kernels.problem import Geometry, Problem
from openwork.runtime.packed.nearest import nearest_candidate


def _problem(kernel: int, live: float = 0.5, size: int = 16) -> Problem:
    positions = np.flatnonzero(
        np.repeat(np.random.default_rng(0).random(64 * 64) < live, kernel * kernel)
    )
    pad = kernel // 2
    geometry = Geometry(64, 64, (size, size), (kernel, kernel), padding=(pad, pad))
    return Problem(geometry, 1, positions, np.ones(positions.size, np.float32))


@pytest.mark.parametrize(
    ("kernel", "family", "tile"),
    [
        ("f32-conv3x3-winograd4-v4k64g2-avx512", "winograd4", "v4k64g2"),
        ("f32-conv3x3-winograd4-v8k64g4-avx512", "winograd4", "v5k64g4"),
        ("f32-conv3x3-winograd2-v5k32g4-avx512", "winograd2", "v5k64g4"),
        ("f32-conv3x3s1-direct-7x1-avx512", "direct", "7x1"),
        ("bf16-conv-spmm-v4k128g2-avx512bf16", "spmm", None),
        ("torch", "winograd4", None),
    ],
)
def test_the_family_stays_and_the_tile_is_near(kernel: str, family: str, tile: str | None) -> None:
    found = nearest_candidate(_problem(3), kernel, "neon").name.split("-")
    assert (found[0], found[2], found[-1]) == ("f32", family, "neon")
    assert tile is None or found[3] == tile


def test_dense_layers_of_torch_run_densely() -> None:
    assert nearest_candidate(_problem(1, 1.0), "torch", "neon").name.split("-")[2] == "dense"
