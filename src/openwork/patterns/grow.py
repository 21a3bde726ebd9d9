"""From a sparse pattern to a denser one that contains it."""

from collections.abc import Iterator

import numpy as np

from openwork._arguments import check_choice, check_density, check_seed
from openwork.errors import ArgumentError
from openwork.patterns.keys import stream
from openwork.patterns.pattern import Pattern
from openwork.patterns.random import FANS, ranked, take


def grow(pattern: Pattern, density: float, fan: str = "fixed", *, seed: int = 0) -> Pattern:
    """`pattern` plus further connections, added in a random order that `seed` determines.

    Every connection of `pattern` is kept, however it was drawn. Channels without a connection get
    one first. With the `fan` and `seed` that `random` was given, a random pattern grows into the
    denser random pattern.

    Args:
        pattern: a pattern of whole connections.
        density: share of live connections to reach, in (0, 1]. What is already denser is left
            unchanged: the whole pattern with "uniform", single filters with "fixed".
        fan: "fixed" (default): every filter gets at least `round(density * in_channels / groups)`
            inputs; "uniform": only the total is fixed.
        seed: whole number >= 0, default 0.

    Returns:
        A pattern of the same shape.

    Raises:
        ArgumentError: a pattern with single taps, a density outside (0, 1], or an unknown `fan`.

    Source: incremental training in "The Power of Sparsity in Convolutional Neural Networks"
    (2017), which says that additional random connections are activated; a single order for all
    connections of a layer is our reading.

    >>> from openwork.patterns import random
    >>> sparse = random(8, 8, 3, density=0.25)
    >>> grow(sparse, 0.5) == random(8, 8, 3, density=0.5)
    True
    """
    check_density(density)
    check_choice("fan", fan, FANS)
    check_seed(seed)
    if not pattern.whole:
        raise ArgumentError(
            f"`pattern` of shape {pattern.shape} has kernels with single dead taps; only patterns "
            "of whole connections can grow"
        )
    rows, columns = pattern.out_channels // pattern.groups, pattern.shape[1]
    bits = stream(seed, f"random {fan}")
    live = pattern.connections @ np.array([columns, 1])
    grown = [live]
    for group in range(pattern.groups):
        start = group * rows * columns
        own = live[(live >= start) & (live < start + rows * columns)] - start
        slices = _live_first(ranked(rows, columns, bits), own, columns)
        grown.append(start + take(slices, rows, columns, density, fan))
    positions = np.unique(np.concatenate(grown))
    return Pattern.from_positions(pattern.shape, positions, groups=pattern.groups)


def _live_first(
    slices: Iterator[tuple[int, np.ndarray]], live: np.ndarray, columns: int
) -> Iterator[tuple[int, np.ndarray]]:
    for first, keys in slices:
        low = first * columns
        here = live[(live >= low) & (live < low + keys.size)]
        keys.reshape(-1)[here - low] = 0
        yield first, keys
