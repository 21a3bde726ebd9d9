"""Structured patterns: every input has the same fan-out, every output the same fan-in."""

from collections.abc import Sequence

import numpy as np

from openwork._arguments import check_count, check_groups, check_kernel, check_seed
from openwork.patterns.fans import regular_fan_out
from openwork.patterns.keys import shuffled, stream
from openwork.patterns.pattern import Pattern

_VALUE = np.uint64(0xFFFF_FFFF)  # the half of a key that holds an input's number
_SINGLE = np.uint64(1 << 63)


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
    """Random connections with equal fans: whole kernels live or die, none twice.

    With g = gcd(outputs, inputs) of a group the possible densities are the multiples of 1/g.

    Args:
        out_channels: filters.
        in_channels: input channels, of all groups together.
        kernel: `k`, `(kh, kw)`, or `()` (default) for a linear layer.
        density: share of the connections that live, in (0, 1]; give it or `fan_out`.
        fan_out: filters that read each input, at least 1; the fan-in follows.
        nearest: take the nearest possible density instead of refusing, default False.
        groups: groups of the convolution, default 1; each has its own draw.
        seed: whole number >= 0, default 0. The same seed gives the same pattern on every platform.

    Raises:
        ArgumentError: an impossible density or fan-out (the nearest ones are named), both or
            neither given, or `groups` that does not divide both channel counts.

    Source: structured pre-defined sparsity, "Characterizing Sparse Connectivity Patterns in Neural
    Networks" (Dey, Huang, Beerel, Chugg 2018). How it is drawn is ours: from a regular pattern by
    random trades between outputs, a chain whose limit is the uniform distribution over all such
    patterns ("curveball"; Strona et al. 2014, Carstens et al. 2018). The paper's generator fills
    output after output, and its last outputs read nearly the same inputs.
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
    # After r rounds a row may hold inputs of 2^r others, and two inputs that began side by side
    # still are with a surplus of 2^-r: the rounds that reach all rows, and ten more.
    for _ in range(rows.bit_length() + 10):
        pairs = shuffled(rows, bits)[: rows // 2 * 2].reshape(-1, 2)
        chosen[pairs] = _trade(chosen[pairs], bits)
    return chosen.astype(np.int64)


def _trade(pairs: np.ndarray, bits: np.random.PCG64) -> np.ndarray:
    """Deal the inputs of each pair of rows (m, 2, fan_in) out again, at random.

    What both rows have both keep; of the rest each gets as many as it had, so all fans stay.
    """
    count, _, fan_in = pairs.shape
    pool = np.sort(pairs.reshape(count, 2 * fan_in), axis=1)
    shared = np.zeros(pool.shape, dtype=bool)
    shared[:, 1:] = pool[:, 1:] == pool[:, :-1]
    shared[:, :-1] |= shared[:, 1:]
    # Sorted, shared inputs lie first, side by side, and the others behind them in random order:
    # dealing alternately gives each row one of every two.
    keys = bits.random_raw(pool.size).reshape(pool.shape) & ~_VALUE | _SINGLE
    dealt = np.sort(np.where(shared, pool, pool | keys), axis=1) & _VALUE
    return dealt.reshape(count, fan_in, 2).swapaxes(1, 2)
