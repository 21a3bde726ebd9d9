"""The pattern with everything live."""

from collections.abc import Sequence

import numpy as np

from openwork._arguments import check_count, check_groups, check_kernel
from openwork.patterns.pattern import Pattern


def dense(
    out_channels: int, in_channels: int, kernel: int | Sequence[int] = (), *, groups: int = 1
) -> Pattern:
    """Every tap live: the pattern of an ordinary layer.

    Args:
        out_channels: number of filters.
        in_channels: input channels over all groups.
        kernel: `k`, `(kh, kw)`, or `()` (default) for a linear layer.
        groups: groups of the convolution, default 1.

    Returns:
        A pattern of shape `(out_channels, in_channels / groups, *kernel)`.

    Raises:
        ArgumentError: a count below 1, or `groups` that does not divide both channel counts.
    """
    check_count("out_channels", out_channels)
    check_count("in_channels", in_channels)
    check_groups(out_channels, in_channels, groups)
    shape = (out_channels, in_channels // groups, *check_kernel(kernel))
    return Pattern.from_positions(shape, np.arange(shape[0] * shape[1]), groups=groups)
