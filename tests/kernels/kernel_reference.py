"""What the kernels must compute, in float64, tap by tap; and how far they may be off."""

import numpy as np

from openwork.kernels.problem import Problem

EPSILON = 2.0**-24  # unit round-off of float32

# Winograd computes with sums over whole tiles of input times whole kernels, so its errors scale
# with S = sum over live inputs of max |kernel| * max |input|. The transforms' absolute row sums
# bound their growth by 64 S for F(2x2) and 2304 S for F(4x4), if all roundings fell to the same
# side; these are about twice the largest seen.
WINOGRAD_GROWTH = {2: 0.5, 4: 7.0}


def convolve(problem: Problem, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums over live taps, and sums of their absolute values: both (batch, out, h', w') float64."""
    g = problem.geometry
    (py, px), (sy, sx), (dy, dx) = g.padding, g.stride, g.dilation
    height, width = g.out_size
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (py, py), (px, px)))
    total = np.zeros((len(x), g.out_channels, height, width))
    size = np.zeros_like(total)
    for out, inside, tap, weight in zip(*problem.units(), problem.weight, strict=True):
        y, x0 = (tap // g.kernel[1]) * dy, (tap % g.kernel[1]) * dx
        seen = padded[
            :, inside, y : y + (height - 1) * sy + 1 : sy, x0 : x0 + (width - 1) * sx + 1 : sx
        ]
        total[:, out] += np.float64(weight) * seen
        size[:, out] += abs(np.float64(weight)) * np.abs(seen)
    return total, size


def finish(problem: Problem, total: np.ndarray, residual: np.ndarray | None) -> np.ndarray:
    if problem.bias is not None:
        total = total + problem.bias.astype(np.float64)[:, None, None]
    if residual is not None:
        total = total + residual.astype(np.float64)
    clip = np.clip(total + 3, 0, 6)
    return {
        "none": lambda: total,
        "relu": lambda: np.maximum(total, 0),
        "relu6": lambda: np.clip(total, 0, 6),
        "silu": lambda: total / (1 + np.exp(-total)),
        "hardswish": lambda: total * clip / 6,
        "sigmoid": lambda: 1 / (1 + np.exp(-total)),
        "hardsigmoid": lambda: clip / 6,
    }[problem.activation]()


def winograd_size(problem: Problem, x: np.ndarray) -> np.ndarray:
    """S of each filter and image: (batch, out, 1, 1)."""
    largest = np.abs(x).max(axis=(2, 3)).astype(np.float64)
    size = np.zeros((len(x), problem.geometry.out_channels, 1, 1))
    for out, inside, kernel in zip(*problem.connections(), strict=True):
        size[:, out, 0, 0] += np.abs(kernel).max() * largest[:, inside]
    return size


def tolerance(
    problem: Problem, x: np.ndarray, size: np.ndarray, residual: np.ndarray | None, kernel: str
) -> np.ndarray:
    """Largest allowed error of each output: epsilons times accumulation length times magnitude.

    The length is the longest filter's live taps plus 16 for bias, residual and activation, whose
    slopes stay below 1.5.
    """
    out, _, _ = problem.units()
    length = int(np.bincount(out, minlength=1).max()) + 16
    size = size.copy()
    if "winograd" in kernel:
        size[:] = winograd_size(problem, x) * WINOGRAD_GROWTH[2 if "winograd2" in kernel else 4]
    if problem.bias is not None:
        size += np.abs(problem.bias)[:, None, None]
    if residual is not None:
        size += np.abs(residual)
    return 1.5 * EPSILON * length * size + 1e-37
