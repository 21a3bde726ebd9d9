"""Structured sparse convolution: groups of channels, and a few taps of each kernel."""

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
    """Each filter sees `in_channels / groups` channels and keeps `taps` positions of each kernel.

    The density against an ordinary convolution is exactly `taps / (groups * kh * kw)`. Special
    cases: `groups=in_channels` with all taps is a depthwise convolution, `groups` with all taps a
    groupwise one, `taps=1, cycle=False` a pointwise one (the centre tap), and `groups=1` with all
    taps the dense one.

    The taps of a kernel are numbered row by row. In filter f of group b, channel i of the group
    keeps the `taps` from number `taps * (i + shift * (f + b))` on, cyclically: neighbouring
    channels together cover the window, `ceil(kh * kw / taps)` of them all of it.

    Args:
        out_channels: filters.
        in_channels: input channels.
        kernel: `k`, `(kh, kw)`, or `()` (default) for a linear layer, which has one tap.
        groups: groups of channels, default 1; must divide both channel counts.
        taps: live positions of each live kernel, 1 to kh * kw; None (default) keeps all.
        shift: whole number >= 0, default 1: how many kernels on the next filter begins. 0 gives all
            filters of a group the same taps, so that a layer is one shift of its channels and one
            1x1 convolution when `taps` is 1.
        order: "contiguous" (default): the first filters read the first channels, as in torch;
            "rotating": filter n reads the channels of group `n % groups`, which is the contiguous
            pattern followed by a channel shuffle, at no cost when run: the next layer's groups
            then see all groups of this one.
        cycle: True (default) as above; False: every kernel keeps the `taps` nearest to its
            centre.
        layer_groups: `groups` of the torch layer that the pattern is for, default 1: an ordinary
            convolution whose dead connections lie outside the groups. Must divide `groups`.

    Raises:
        ArgumentError: `groups` that does not divide the channels or is no multiple of
            `layer_groups`, or `taps` above kh * kw; the possible values are named.

    Source: "Pushing the Efficiency Limit Using Structured Sparse Convolutions" (Verma et al. 2023)
    states the aim: a sparse structure fixed at initialisation that reduces the parameters of a
    filter and has depthwise, groupwise and pointwise convolution as special cases. Which taps
    live, and every parameter here, is our reconstruction: the paper's own definition was not
    available to us, and nothing here should be cited as its.
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
    # The taps go round, and a larger shift would leave the range of int64.
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
    """The group of each filter and its index among the group's filters: two (filters,) int64."""
    size, within = filters // groups, groups // layer_groups
    layer_group, filter_ = np.divmod(np.arange(filters), filters // layer_groups)
    if order == "contiguous":
        group, index = np.divmod(filter_, size)
    else:
        index, group = np.divmod(filter_, within)
    return layer_group * within + group, index


def _numbered(kernel: tuple[int, ...], cycle: bool) -> np.ndarray:
    """The taps in the order in which they are kept: row by row, or the nearest to the centre."""
    if cycle:
        return np.arange(math.prod(kernel))
    away = [(np.arange(size) - (size - 1) / 2) ** 2 for size in kernel]
    distance = np.add.outer(*away) if kernel else np.zeros(1)
    return np.argsort(distance.ravel(), kind="stable")


def _check_taps(taps: int, kernel: tuple[int, ...]) -> int:
    check_count("taps", taps)
    if taps > math.prod(kernel):
        raise ArgumentError(
            f"`taps`={taps} is more than a kernel of {' x '.join(map(str, kernel)) or 'one weight'}"
            f" has; at most {math.prod(kernel)}"
        )
    return taps
