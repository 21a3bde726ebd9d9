"""Group convolution as a pattern: each filter reads only the channels of its group."""

from collections.abc import Sequence

from openwork.patterns.pattern import Pattern
from openwork.patterns.ssc import ssc


def grouped(
    out_channels: int,
    in_channels: int,
    kernel: int | Sequence[int] = (),
    *,
    groups: int,
    order: str = "contiguous",
    layer_groups: int = 1,
) -> Pattern:
    """Block-diagonal connections, as in `torch.nn.Conv2d(groups=groups)`.

    The density relative to an ordinary convolution is 1 / groups; `groups=in_channels` is a
    depthwise convolution. The same as `ssc` with all taps.

    Args:
        out_channels: number of filters.
        in_channels: number of input channels.
        kernel: `k`, `(kh, kw)`, or `()` (default) for a linear layer.
        groups: groups of channels; must divide both channel counts.
        order: "contiguous" (default), as in torch, or "rotating", as in `ssc`.
        layer_groups: `groups` of the torch layer that the pattern is for, default 1; must divide
            `groups`.

    Returns:
        A pattern of shape `(out_channels, in_channels / layer_groups, *kernel)`.

    Raises:
        ArgumentError: `groups` does not divide the channels or is not a multiple of
            `layer_groups`; the message names the possible values.

    >>> grouped(4, 4, 3, groups=2).connections.tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1], [2, 2], [2, 3], [3, 2], [3, 3]]
    """
    return ssc(
        out_channels, in_channels, kernel, groups=groups, order=order, layer_groups=layer_groups
    )
