"""What the training kernels must compute, in float64, tap by tap; and how far they may be off."""

import numpy as np
from kernel_reference import EPSILON, WINOGRAD_GROWTH

from openwork.kernels.problem import Problem


def _views(problem: Problem, padded: np.ndarray, tap: int) -> np.ndarray:
    """The pixels that one tap reads, (batch, channels, h', w'): a view of `padded`."""
    g = problem.geometry
    (sy, sx), (dy, dx) = g.stride, g.dilation
    height, width = g.out_size
    y, x = tap // g.kernel[1] * dy, tap % g.kernel[1] * dx
    return padded[:, :, y : y + (height - 1) * sy + 1 : sy, x : x + (width - 1) * sx + 1 : sx]


def input_gradient(problem: Problem, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums over live taps, and sums of their absolute values: both (batch, in, h, w) float64."""
    g = problem.geometry
    (py, px), (height, width) = g.padding, g.size
    shape = (len(gradient), g.in_channels, height + 2 * py, width + 2 * px)
    total, size = np.zeros(shape), np.zeros(shape)
    exact = gradient.astype(np.float64)
    for out, inside, tap, weight in zip(*problem.units(), problem.weight, strict=True):
        _views(problem, total, tap)[:, inside] += np.float64(weight) * exact[:, out]
        _views(problem, size, tap)[:, inside] += np.abs(np.float64(weight) * exact[:, out])
    inner = np.s_[:, :, py : py + height, px : px + width]
    return total[inner], size[inner]


def weight_gradient(
    problem: Problem, x: np.ndarray, gradient: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sums over pixels, and sums of their absolute values: both (live,) float64."""
    py, px = problem.geometry.padding
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (py, py), (px, px)))
    exact = gradient.astype(np.float64)
    total, size = np.zeros(len(problem.weight)), np.zeros(len(problem.weight))
    for at, (out, inside, tap) in enumerate(zip(*problem.units(), strict=True)):
        products = _views(problem, padded, tap)[:, inside] * exact[:, out]
        total[at], size[at] = products.sum(), np.abs(products).sum()
    return total, size


def input_tolerance(
    problem: Problem, gradient: np.ndarray, size: np.ndarray, kernel: str
) -> np.ndarray:
    """Largest allowed error: epsilons times accumulation length times magnitude."""
    _, inside, _ = problem.units()
    length = int(np.bincount(inside, minlength=1).max()) + 2
    if "winograd" in kernel:
        largest = np.abs(gradient).max(axis=(2, 3)).astype(np.float64)
        size = np.zeros_like(size)
        for out, at, taps in zip(*problem.connections(), strict=True):
            size[:, at] += (np.abs(taps).max() * largest[:, out])[:, None, None]
        size *= WINOGRAD_GROWTH[4]
        # The transforms of a tile round as well, however few inputs there are: 6 terms twice for
        # the input, 5 twice for the output.
        length += 22
    return 1.5 * EPSILON * length * size + 1e-37


def weight_tolerance(
    problem: Problem, x: np.ndarray, gradient: np.ndarray, size: np.ndarray, kernel: str
) -> np.ndarray:
    """Largest allowed error: epsilons times accumulation length times magnitude."""
    height, width = problem.geometry.out_size
    length = len(x) * height * width + 2
    if "winograd" in kernel:
        out, inside, _ = problem.units()
        images = np.abs(x).max(axis=(2, 3)).astype(np.float64)
        maps = np.abs(gradient).max(axis=(2, 3)).astype(np.float64)
        tiles = -(-height // 4) * -(-width // 4)
        # Each tile's sums may be off by what its largest numbers are worth; they add up.
        size = (images[:, inside] * maps[:, out]).sum(0) * tiles
        return WINOGRAD_WEIGHT_GROWTH * EPSILON * size + 1e-37
    return 1.5 * EPSILON * length * size + 1e-37


# About twice the largest error seen, in epsilons times tiles times the largest input and gradient.
WINOGRAD_WEIGHT_GROWTH = 600.0
