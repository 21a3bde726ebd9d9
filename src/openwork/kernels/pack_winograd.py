"""Filters of 3x3 kernels in the Winograd domain, one value per position of the tile."""

import numpy as np

from openwork.kernels.native import extension as _C
from openwork.kernels.pack_lists import pack_lists
from openwork.kernels.problem import Problem

# Rows are the points 0, 1, -1 (, 2, -2) and infinity, scaled so that the transforms of inputs and
# outputs (csrc/simd/winograd_transform.h) need whole numbers only.
_FILTERS = {
    2: np.array([[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]]),
    4: np.array(
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ]
    ),
}


def pack_winograd(problem: Problem, output: int, chunk: int, group: int) -> "_C.Lists":
    """Live connections as packed lists with transformed filters, for tiles of `output` pixels."""
    g = problem.geometry
    out, inside, kernels = problem.connections()
    packed = pack_lists(g.out_channels, g.in_channels, out, inside, chunk, group)
    weight = transform_filters(kernels[packed.order], output)
    return _C.Lists(*packed.indices(), weight.reshape(-1))


def transform_filters(kernels: np.ndarray, output: int) -> np.ndarray:
    """Kernels (n, 9) to (positions, n) float32, positions = (output + 2)^2, row by row.

    Computed in float64: the rounding to float32 is the only error on this side.
    """
    # Both sides of a tile's transform at once: one product of matrices for all kernels.
    both = np.kron(_FILTERS[output], _FILTERS[output])
    return (both @ kernels.T.astype(np.float64)).astype(np.float32)
