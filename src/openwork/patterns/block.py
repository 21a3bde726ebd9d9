"""Block patterns: neighbouring filters read the same inputs."""

from collections.abc import Sequence

import numpy as np

from openwork._arguments import check_count, check_groups, check_kernel
from openwork.errors import ArgumentError
from openwork.patterns.pattern import Pattern
from openwork.patterns.random import random

__all__ = ["check_divides"]


def block(
    out_channels: int,
    in_channels: int,
    kernel: int | Sequence[int] = (),
    density: float = 0.1,
    b_out: int = 4,
    b_in: int = 1,
    fan: str = "fixed",
    *,
    groups: int = 1,
    seed: int = 0,
) -> Pattern:
    """Blocks of `b_out` x `b_in` connections; the connections of a block live or die together.

    A kernel that loads one input for `b_out` filters does `b_out` times the work per load, so block
    patterns run faster than single connections at the same density.

    Args:
        out_channels: number of filters.
        in_channels: input channels over all groups.
        kernel: `k`, `(kh, kw)`, or `()` (default) for a linear layer.
        density: share of live blocks, in (0, 1], default 0.1.
        b_out: filters per block, default 4; must divide the filters of a group.
        b_in: inputs per block, default 1; must divide the inputs of a group.
        fan: how blocks are drawn, as in `random`.
        groups: groups of the convolution, default 1.
        seed: whole number >= 0, default 0.

    Returns:
        A pattern of shape `(out_channels, in_channels / groups, *kernel)`.

    Raises:
        ArgumentError: as for `random`, or a block size that does not divide its group; the message
            lists the feasible sizes.

    >>> pattern = block(8, 8, 3, density=0.25, b_out=4)
    >>> pattern.fan_in
    array([4, 4, 4, 4, 4, 4, 4, 4])
    >>> bool((pattern.taps[0] == pattern.taps[3]).all())
    True
    """
    check_count("out_channels", out_channels)
    check_count("in_channels", in_channels)
    check_groups(out_channels, in_channels, groups)
    check_divides("b_out", b_out, out_channels // groups, "filters")
    check_divides("b_in", b_in, in_channels // groups, "inputs")
    grid = random(
        out_channels // b_out, in_channels // b_in, 1, density, fan, groups=groups, seed=seed
    )
    columns = in_channels // groups
    row, column = grid.connections.T
    rows = row[:, None] * b_out + np.arange(b_out)
    inputs = column[:, None] * b_in + np.arange(b_in)
    positions = rows[:, :, None] * columns + inputs[:, None, :]
    shape = (out_channels, columns, *check_kernel(kernel))
    return Pattern.from_positions(shape, positions.reshape(-1), groups=groups)


def check_divides(argument: str, size: int, count: int, what: str) -> None:
    check_count(argument, size)
    if count % size:
        feasible = [n for n in range(1, count + 1) if count % n == 0]
        raise ArgumentError(
            f"`{argument}`={size} must divide the {count} {what} of a group; "
            f"feasible: {', '.join(map(str, feasible))}"
        )
