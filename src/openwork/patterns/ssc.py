"""Structured sparse convolution: channel groups, and a few taps per kernel."""

import math
from collections.abc import Sequence

import numpy as np

from openwork._arguments import check_choice, check_count, check_flag, check_groups, check_kernel
from openwork.errors import ArgumentError
from openwork.patterns.pattern import Pattern

ORDERS = ("contiguous", "rotating")


def ssc(
    out_channels: int,
    in_channels: int,
    kernel: int | Sequence[int] = (),
    *,
    groups: int = 1,
    taps: int | None = None,
    shift: int = 1,
    order: str = "contiguous",
    cycle: bool = True,
    layer_groups: int = 1,
) -> Pattern:
    """Each filter reads `in_channels / groups` channels and keeps `taps` positions per kernel.

    The density relative to an ordinary convolution is exactly `taps / (groups * kh * kw)`. Special
    cases: with all taps, `groups=in_channels` is a depthwise convolution, other `groups` a
    groupwise and `groups=1` a dense one; `taps=1, cycle=False` is a pointwise convolution (the
    centre tap).

    The taps of a kernel are numbered row by row. In filter f of group b, channel i of the group
    keeps `taps` taps in cyclic order, starting at number `taps * (i + shift * (f + b))`. So
    neighbouring channels keep different taps, and `ceil(kh * kw / taps)` of them cover the kernel.

    Args:
        out_channels: number of filters.
        in_channels: number of input channels.
        kernel: `k`, `(kh, kw)`, or `()` (default) for a linear layer, which has one tap.
        groups: groups of channels, default 1; must divide both channel counts.
        taps: live positions per live kernel, 1 to kh * kw; None (default) keeps all.
        shift: whole number >= 0, default 1: the offset between successive filters, in kernels. 0
            gives all filters of a group the same taps; with `taps=1` the layer is then a shift of
            its channels followed by a 1x1 convolution.
        order: "contiguous" (default): the first filters read the first channels, as in torch;
            "rotating": filter n reads the channels of group `n % groups`. That is the contiguous
            pattern followed by a channel shuffle, at no run-time cost, so that each group of the
            next layer sees all groups of this one.
        cycle: True (default): as above; False: every kernel keeps the `taps` positions nearest to
            its centre.
        layer_groups: `groups` of the torch layer that the pattern is for, default 1: an ordinary
            convolution, in which the connections between groups are dead. Must divide `groups`.

    Returns:
        A pattern of shape `(out_channels, in_channels / layer_groups, *kernel)`.

    Raises:
        ArgumentError: `groups` does not divide the channels or is not a multiple of
            `layer_groups`, or `taps` is above kh * kw; the message names the possible values.

    Source: "Pushing the Efficiency Limit Using Structured Sparse Convolutions" (Verma et al. 2023)
    states the aim: a sparse structure fixed at initialisation that reduces the parameters of a
    filter and has depthwise, groupwise and pointwise convolution as special cases. Which taps are
    live, and every parameter here, is our reconstruction: the paper's own definition was not
    available to us, so do not cite any of this as the paper's.

    >>> pattern = ssc(8, 8, 3, groups=2, taps=3)
    >>> pattern
    Pattern(8x8x3x3: 96 live, density 0.1667)
    >>> pattern.taps[0, 1].astype(int)
    array([[0, 0, 0],
           [1, 1, 1],
           [0, 0, 0]])
    """
    check_count("out_channels", out_channels)
    check_count("in_channels", in_channels)
    size = check_kernel(kernel)
    check_groups(out_channels, in_channels, layer_groups, "layer_groups")
    check_groups(out_channels, in_channels, groups, multiple_of=layer_groups)
    kept = math.prod(size) if taps is None else _check_taps(taps, size)
    check_count("shift", shift, 0)
    check_choice("order", order, ORDERS)
    check_flag("cycle", cycle)

    filters = np.arange(out_channels)
    group, index = _members(out_channels, groups, layer_groups, order)
    channel = np.arange(in_channels // groups)
    # Taps are cyclic; without the modulo a large shift would overflow int64.
    shift %= math.prod(size)
    step = channel + shift * (index + group)[:, None] if cycle else 0 * channel[None, :]
    live = _numbered(size, cycle)[(kept * step[:, :, None] + np.arange(kept)) % math.prod(size)]
    columns = in_channels // layer_groups
    read = (group * channel.size % columns)[:, None] + channel
    connection = filters[:, None] * columns + read
    positions = connection[:, :, None] * math.prod(size) + live
    shape = (out_channels, columns, *size)
    return Pattern.from_positions(shape, positions.ravel(), whole=False, groups=layer_groups)


def _members(
    filters: int, groups: int, layer_groups: int, order: str
) -> tuple[np.ndarray, np.ndarray]:
    """Each filter's group, and its index within the group: two (filters,) int64 arrays."""
    size, within = filters // groups, groups // layer_groups
    layer_group, filter_ = np.divmod(np.arange(filters), filters // layer_groups)
    if order == "contiguous":
        group, index = np.divmod(filter_, size)
    else:
        index, group = np.divmod(filter_, within)
    return layer_group * within + group, index


def _numbered(kernel: tuple[int, ...], cycle: bool) -> np.ndarray:
    """The taps in the order they are kept: row by row, or nearest to the centre first."""
    if cycle:
        return np.arange(math.prod(kernel))
    away = [(np.arange(size) - (size - 1) / 2) ** 2 for size in kernel]
    distance = np.add.outer(*away) if kernel else np.zeros(1)
    return np.argsort(distance.ravel(), kind="stable")


def _check_taps(taps: int, kernel: tuple[int, ...]) -> int:
    check_count("taps", taps)
    if taps > math.prod(kernel):
        raise ArgumentError(
            f"`taps`={taps} must be at most {math.prod(kernel)}, the positions of a kernel of "
            f"{' x '.join(map(str, kernel)) or 'one weight'}"
        )
    return taps
