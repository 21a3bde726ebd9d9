"""Channel-wise random patterns: each filter reads a random subset of the inputs."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from openwork._arguments import (
    check_choice,
    check_count,
    check_density,
    check_groups,
    check_kernel,
    check_seed,
)
from openwork.patterns.keys import key_rows, shuffled, stream
from openwork.patterns.pattern import Pattern

__all__ = ["least_fan_in"]

FANS = ("fixed", "uniform")

# Set in the keys of all connections outside the pairing, so that they come after it.
_BEHIND = np.uint64(1 << 63)


def random(
    out_channels: int,
    in_channels: int,
    kernel: int | Sequence[int] = (),
    density: float = 0.1,
    fan: str = "fixed",
    *,
    groups: int = 1,
    seed: int = 0,
) -> Pattern:
    """Connections drawn at random before training; whole kernels are live or dead.

    Every filter reads an input and every input is read. If `density` is too low for that (fewer
    connections than channels), the lowest density that allows it is used instead; see
    `Pattern.density`. With the same seed, a denser pattern contains every sparser one.

    Args:
        out_channels: number of filters.
        in_channels: input channels over all groups.
        kernel: `k`, `(kh, kw)`, or `()` (default) for a linear layer.
        density: share of live connections, in (0, 1], default 0.1.
        fan: "fixed" (default): every filter reads the same number of inputs,
            `max(1, round(density * in_channels / groups))`; "uniform": every pair is equally
            likely, and only the total is fixed.
        groups: groups of the convolution, default 1; each is drawn separately.
        seed: whole number >= 0, default 0. The same seed gives the same pattern on every platform.

    Returns:
        A pattern of shape `(out_channels, in_channels / groups, *kernel)`.

    Raises:
        ArgumentError: a count below 1, a density outside (0, 1], an unknown `fan`, or `groups`
            that does not divide both channel counts.

    Source: "The Power of Sparsity in Convolutional Neural Networks" (Changpinyo, Sandler,
    Zhmoginov 2017). Fixed fan-in is its index matrix, "uniform" its wording in the set-up, both
    with its rule against dead filters. How that rule is met is our reading: first come the
    connections of a pairing that gives every filter an input and every input a filter, then all
    others in random order.

    >>> pattern = random(64, 32, 3, density=0.125)
    >>> pattern
    Pattern(64x32x3x3: 2304 live, density 0.125)
    >>> set(pattern.fan_in.tolist())
    {4}
    """
    check_count("out_channels", out_channels)
    check_count("in_channels", in_channels)
    check_groups(out_channels, in_channels, groups)
    check_density(density)
    check_choice("fan", fan, FANS)
    check_seed(seed)
    rows, columns = out_channels // groups, in_channels // groups
    bits = stream(seed, f"random {fan}")
    drawn = [take(ranked(rows, columns, bits), rows, columns, density, fan) for _ in range(groups)]
    positions = [group * rows * columns + part for group, part in enumerate(drawn)]
    shape = (out_channels, columns, *check_kernel(kernel))
    return Pattern.from_positions(shape, np.concatenate(positions), groups=groups)


def least_fan_in(rows: int, columns: int) -> int:
    """The lowest fixed fan-in at which `rows` filters can read all of `columns` inputs."""
    return math.ceil(columns / rows)


def ranked(rows: int, columns: int, bits: np.random.PCG64) -> Iterator[tuple[int, np.ndarray]]:
    """Slices (first row, keys) of a (rows, columns) matrix; connections are added by rising key.

    The lowest keys belong to a pairing that covers every row and every column, so that no channel
    is left out at any density. The draws from `bits` do not depend on the density.
    """
    turn = np.arange(max(rows, columns))
    paired_rows = shuffled(rows, bits)[turn % rows]
    paired_columns = shuffled(columns, bits)[turn % columns]
    for first, keys in key_rows(rows, columns, bits):
        keys |= _BEHIND
        here = (paired_rows >= first) & (paired_rows < first + len(keys))
        keys[paired_rows[here] - first, paired_columns[here]] &= ~_BEHIND
        yield first, keys


def take(
    slices: Iterator[tuple[int, np.ndarray]], rows: int, columns: int, density: float, fan: str
) -> np.ndarray:
    """Flat positions of the connections with the lowest keys, at the given `density`."""
    if fan == "uniform":
        count = max(math.floor(density * rows * columns + 0.5), rows, columns)
        return _lowest(columns, count, slices)
    fan_in = max(math.floor(density * columns + 0.5), least_fan_in(rows, columns))
    return np.concatenate([_lowest_of_each_row(first, keys, fan_in) for first, keys in slices])


def _lowest_of_each_row(first: int, keys: np.ndarray, fan_in: int) -> np.ndarray:
    """Flat positions of the `fan_in` lowest keys in each row; `keys` begins at row `first`."""
    columns = keys.shape[1]
    chosen = np.argpartition(keys, fan_in - 1, axis=1)[:, :fan_in]
    return ((first + np.arange(len(keys)))[:, None] * columns + chosen).reshape(-1)


def _lowest(columns: int, count: int, slices: Iterator[tuple[int, np.ndarray]]) -> np.ndarray:
    """Flat positions of the `count` lowest keys over all slices."""
    best_keys = np.empty(0, dtype=np.uint64)
    best = np.empty(0, dtype=np.int64)
    for first, keys in slices:
        best_keys = np.concatenate([best_keys, keys.reshape(-1)])
        best = np.concatenate([best, first * columns + np.arange(keys.size)])
        if best.size > count:
            lowest = np.argpartition(best_keys, count - 1)[:count]
            best_keys, best = best_keys[lowest], best[lowest]
    return best
