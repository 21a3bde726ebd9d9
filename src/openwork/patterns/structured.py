"""Structured patterns: every input has the same fan-out, every output the same fan-in."""

from collections.abc import Sequence

import numpy as np

from openwork._arguments import check_count, check_groups, check_kernel, check_seed
from openwork.patterns.fans import regular_fan_out
from openwork.patterns.keys import shuffled, stream
from openwork.patterns.pattern import Pattern

_VALUE = np.uint64(0xFFFF_FFFF)  # the bits of a key that hold an input's number
_SINGLE = np.uint64(1 << 63)  # set for inputs that only one of the two rows holds


def structured(
    out_channels: int,
    in_channels: int,
    kernel: int | Sequence[int] = (),
    *,
    density: float | None = None,
    fan_out: int | None = None,
    nearest: bool = False,
    groups: int = 1,
    seed: int = 0,
) -> Pattern:
    """Random connections with one fan-out for all inputs and one fan-in for all filters.

    Whole kernels are live or dead, and no connection occurs twice. With g = gcd(outputs, inputs) of
    a group, the possible densities are the multiples of 1/g.

    Args:
        out_channels: number of filters.
        in_channels: input channels over all groups.
        kernel: `k`, `(kh, kw)`, or `()` (default) for a linear layer.
        density: share of live connections, in (0, 1]; give either this or `fan_out`.
        fan_out: filters that read each input, at least 1; the fan-in follows.
        nearest: use the nearest possible density instead of raising, default False.
        groups: groups of the convolution, default 1; each is drawn separately.
        seed: whole number >= 0, default 0. The same seed gives the same pattern on every platform.

    Returns:
        A pattern of shape `(out_channels, in_channels / groups, *kernel)`.

    Raises:
        ArgumentError: an impossible density or fan-out (the message names the nearest possible
            ones), both or neither given, or `groups` does not divide both channel counts.

    Source: structured pre-defined sparsity, "Characterizing Sparse Connectivity Patterns in Neural
    Networks" (Dey, Huang, Beerel, Chugg 2018). How it is drawn is ours: random trades between
    outputs, starting from a regular pattern, a chain whose limit is the uniform distribution over
    all such patterns ("curveball"; Strona et al. 2014, Carstens et al. 2018). The paper's generator
    fills one output after another, and its last outputs read nearly the same inputs.

    >>> pattern = structured(8, 4, 3, fan_out=2)
    >>> pattern.fan_in, pattern.fan_out
    (array([1, 1, 1, 1, 1, 1, 1, 1]), array([2, 2, 2, 2]))
    """
    check_count("out_channels", out_channels)
    check_count("in_channels", in_channels)
    check_groups(out_channels, in_channels, groups)
    check_seed(seed)
    rows, columns = out_channels // groups, in_channels // groups
    fans = regular_fan_out(rows, columns, density, fan_out, nearest)
    bits = stream(seed, "structured")
    chosen = np.concatenate([_draw(rows, columns, fans, bits) for _ in range(groups)])
    positions = np.arange(out_channels)[:, None] * columns + chosen
    shape = (out_channels, columns, *check_kernel(kernel))
    return Pattern.from_positions(shape, positions.reshape(-1), groups=groups)


def _draw(rows: int, columns: int, fan_out: int, bits: np.random.PCG64) -> np.ndarray:
    """The inputs of each output: (rows, fan_in) int64, distinct in each row."""
    chosen = np.arange(columns * fan_out, dtype=np.uint64) % np.uint64(columns)
    chosen = chosen.reshape(rows, -1)
    # After r rounds a row can hold inputs from 2^r others, and the excess probability that two
    # inputs that began in one row still share one is 2^-r. So: enough rounds to reach all rows,
    # plus ten.
    for _ in range(rows.bit_length() + 10):
        pairs = shuffled(rows, bits)[: rows // 2 * 2].reshape(-1, 2)
        chosen[pairs] = _trade(chosen[pairs], bits)
    return chosen.astype(np.int64)


def _trade(pairs: np.ndarray, bits: np.random.PCG64) -> np.ndarray:
    """Redistribute the inputs of each pair of rows (m, 2, fan_in) at random.

    Both rows keep the inputs that they share; the others are dealt out in equal numbers, so no
    fan-in or fan-out changes.
    """
    count, _, fan_in = pairs.shape
    pool = np.sort(pairs.reshape(count, 2 * fan_in), axis=1)
    shared = np.zeros(pool.shape, dtype=bool)
    shared[:, 1:] = pool[:, 1:] == pool[:, :-1]
    shared[:, :-1] |= shared[:, 1:]
    # After sorting, shared inputs come first, in pairs, and the others follow in random order;
    # dealing alternately gives each row one of every two.
    keys = bits.random_raw(pool.size).reshape(pool.shape) & ~_VALUE | _SINGLE
    dealt = np.sort(np.where(shared, pool, pool | keys), axis=1) & _VALUE
    return dealt.reshape(count, fan_in, 2).swapaxes(1, 2)
