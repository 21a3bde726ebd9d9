"""Group convolution as a pattern: each filter reads the channels of its group only."""

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
    """Block-diagonal connections: what `torch.nn.Conv2d(groups=groups)` computes.

    The density against an ordinary convolution is 1 / groups; `groups=in_channels` is a depthwise
    convolution. It is `ssc` with all taps.

    Args:
        out_channels: filters.
        in_channels: input channels.
        kernel: `k`, `(kh, kw)`, or `()` (default) for a linear layer.
        groups: groups of channels; must divide both channel counts.
        order: "contiguous" (default), torch's, or "rotating", as in `ssc`.
        layer_groups: `groups` of the torch layer that the pattern is for, default 1; must divide
            `groups`.

    Raises:
        ArgumentError: `groups` that does not divide the channels, or is no multiple of
            `layer_groups`; the possible values are named.
    """
    return ssc(
        out_channels, in_channels, kernel, groups=groups, order=order, layer_groups=layer_groups
    )
