"""Channel-wise random patterns: each filter reads its own random subset of the inputs."""

import math
from collections.abc import Sequence

import numpy as np

from openwork.patterns import _keys
from openwork.patterns._checks import (
    check_choice,
    check_count,
    check_density,
    check_groups,
    check_kernel,
    check_seed,
)
from openwork.patterns.pattern import Pattern

FANS = ("fixed", "uniform")


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
    """Connections drawn at random before training: whole kernels live or die.

    No filter is dead and no input is unread. Where the asked density is too low for that (fewer
    connections than channels) the least density that allows it is taken instead; `Pattern.density`
    tells.

    Args:
        out_channels: filters.
        in_channels: input channels, of all groups together.
        kernel: `k`, `(kh, kw)`, or `()` (default) for a linear layer.
        density: share of the connections that live, in (0, 1], default 0.1.
        fan: "fixed" (default): every filter reads the same number of inputs,
            `max(1, round(density * in_channels / groups))`; "uniform": every pair is equally
            likely, and only the total is fixed.
        groups: groups of the convolution, default 1; each has its own draw.
        seed: whole number >= 0, default 0. The same seed gives the same pattern on every platform.

    Raises:
        ArgumentError: a count below 1, a density out of (0, 1], an unknown `fan`, or `groups`
            that does not divide both channel counts.

    Source: "The Power of Sparsity in Convolutional Neural Networks" (Changpinyo, Sandler,
    Zhmoginov 2017). Fixed fan-in is its index matrix, "uniform" its wording in the set-up, both
    with its rule against dead filters. How inputs are repaired is our reading.
    """
    check_count("out_channels", out_channels)
    check_count("in_channels", in_channels)
    check_groups(out_channels, in_channels, groups)
    check_density(density)
    check_choice("fan", fan, FANS)
    check_seed(seed)
    rows, columns = out_channels // groups, in_channels // groups
    draw = _fixed if fan == "fixed" else _uniform
    bits = _keys.stream(seed, f"random {fan}")
    positions = [g * rows * columns + draw(rows, columns, density, bits) for g in range(groups)]
    shape = (out_channels, columns, *check_kernel(kernel))
    return Pattern.from_positions(shape, np.concatenate(positions), groups=groups)


def _fixed(rows: int, columns: int, density: float, bits: np.random.PCG64) -> np.ndarray:
    fan_in = max(1, math.floor(density * columns + 0.5), math.ceil(columns / rows))
    chosen = np.empty((rows, fan_in), dtype=np.int64)
    for first, keys in _keys.key_rows(rows, columns, bits):
        lowest = np.argpartition(keys, fan_in - 1, axis=1)[:, :fan_in]
        chosen[first : first + len(keys)] = np.sort(lowest, axis=1)
    _read_every_input(chosen.reshape(-1), columns, bits)
    return (np.arange(rows)[:, None] * columns + chosen).reshape(-1)


def _read_every_input(chosen: np.ndarray, columns: int, bits: np.random.PCG64) -> None:
    """Give each unread input a connection of some input that has several; fan-in stays fixed.

    One pass is enough: an input that cannot spare a reader once never can later, and there are
    at least as many connections as inputs.
    """
    readers = np.bincount(chosen, minlength=columns)
    unread = np.flatnonzero(readers == 0)
    if not unread.size:
        return
    waiting = iter(unread)
    target = next(waiting)
    for slot in _keys.shuffled(chosen.size, bits):
        if readers[chosen[slot]] < 2:
            continue
        readers[chosen[slot]] -= 1
        chosen[slot] = target
        target = next(waiting, None)
        if target is None:
            return


def _uniform(rows: int, columns: int, density: float, bits: np.random.PCG64) -> np.ndarray:
    count = max(math.floor(density * rows * columns + 0.5), rows, columns)
    positions = _lowest(rows, columns, count, bits)
    fan_in = np.bincount(positions // columns, minlength=rows)
    fan_out = np.bincount(positions % columns, minlength=columns)
    dead, unread = np.flatnonzero(fan_in == 0), np.flatnonzero(fan_out == 0)
    missing = max(dead.size, unread.size)
    if not missing:
        return positions
    # Dead filters read unread inputs first; whichever list is shorter goes on with random others.
    out = np.concatenate([dead, _keys.shuffled(rows, bits)[np.arange(missing) % rows]])[:missing]
    into = np.concatenate([unread, _keys.shuffled(columns, bits)[np.arange(missing) % columns]])
    added = np.unique(out * columns + into[:missing])
    np.add.at(fan_in, added // columns, 1)
    np.add.at(fan_out, added % columns, 1)
    # As many others leave as came, if neither their filter nor their input would be left without.
    keep = np.ones(positions.size, dtype=bool)
    leaving = added.size
    for slot in _keys.shuffled(positions.size, bits):
        if not leaving:
            break
        row, column = divmod(positions[slot], columns)
        if fan_in[row] > 1 and fan_out[column] > 1:
            keep[slot] = False
            fan_in[row] -= 1
            fan_out[column] -= 1
            leaving -= 1
    return np.concatenate([positions[keep], added])


def _lowest(rows: int, columns: int, count: int, bits: np.random.PCG64) -> np.ndarray:
    """Positions of the `count` lowest keys of a (rows, columns) matrix, slice by slice."""
    best_keys = np.empty(0, dtype=np.uint64)
    best = np.empty(0, dtype=np.int64)
    for first, keys in _keys.key_rows(rows, columns, bits):
        best_keys = np.concatenate([best_keys, keys.reshape(-1)])
        best = np.concatenate([best, first * columns + np.arange(keys.size)])
        if best.size > count:
            lowest = np.argpartition(best_keys, count - 1)[:count]
            best_keys, best = best_keys[lowest], best[lowest]
    return np.sort(best)
