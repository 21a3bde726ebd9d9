"""A pattern as a picture."""

# pyright: reportUnknownMemberType=false
# matplotlib's own types leave keyword arguments open.

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from openwork.patterns.pattern import Pattern
    from openwork.patterns.scatter import Scatter

_INK = "#1b4965"


def draw(pattern: "Pattern") -> Figure:
    """The connection matrix (outputs down, inputs across) with fan-in and fan-out beside it.

    The shade of a cell is the share of its taps that live.
    """
    shares = np.zeros((pattern.out_channels, pattern.in_channels))
    taps = pattern.taps.reshape(pattern.shape[0], pattern.shape[1], -1).mean(axis=2)
    rows = pattern.out_channels // pattern.groups
    for group in range(pattern.groups):
        out = slice(group * rows, (group + 1) * rows)
        inputs = slice(group * pattern.shape[1], (group + 1) * pattern.shape[1])
        shares[out, inputs] = taps[out]

    # The matrix keeps its proportions between 1:4 and 4:1, so that thin layers stay readable.
    ratio = min(4.0, max(0.25, pattern.out_channels / pattern.in_channels))
    width, height = (6.0 / ratio, 6.0) if ratio > 1 else (6.0, 6.0 * ratio)
    figure = Figure(figsize=(width + 1.6, height + 1.8), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(width, 1), height_ratios=(1, height))
    matrix = figure.add_subplot(grid[1, 0])
    matrix.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    matrix.set_xlabel("input channel")
    matrix.set_ylabel("output channel")
    columns = figure.add_subplot(grid[0, 0], sharex=matrix)
    columns.bar(np.arange(pattern.in_channels), pattern.fan_out, width=1.0, color=_INK)
    columns.set_ylabel("fan-out")
    columns.tick_params(labelbottom=False)
    lines = figure.add_subplot(grid[1, 1], sharey=matrix)
    lines.barh(np.arange(pattern.out_channels), pattern.fan_in, height=1.0, color=_INK)
    lines.set_xlabel("fan-in")
    lines.tick_params(labelleft=False)
    size = " × ".join(map(str, pattern.shape))
    figure.suptitle(f"{size}, density {pattern.density:.3g}, {pattern.live:,} live weights")
    return figure


def draw_scatter(scatter: "Scatter") -> Figure:
    """The window adjacency matrices: a row for each junction, windows on the left and the right.

    The shade of a cell is the share of the evenly spread connections that it has.
    """
    rows = len(scatter.entries) // 2
    figure = Figure(figsize=(8.0, 2.6 * rows + 0.8), layout="constrained")
    for entry, axes in zip(scatter.entries, figure.subplots(rows, 2).flat, strict=True):
        axes.imshow(
            entry.shares, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest"
        )
        axes.set_title(f"{entry.name} windows: {entry.scatter:.3f}", fontsize="medium")
        axes.set_xlabel("window")
        axes.set_ylabel("neuron")
    label = "share of the connections that even spread would give"
    figure.colorbar(
        figure.axes[0].images[0], ax=figure.axes, label=label, shrink=0.8 / rows, aspect=15
    )
    figure.suptitle(f"scatter {scatter.minimum:.3f}: the least of {len(scatter.entries)} entries")
    return figure
