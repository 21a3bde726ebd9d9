"""Connections and windows as pictures, drawn from plain arrays."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

_INK = "#1b4965"


def draw_connections(
    shares: np.ndarray, fan_in: np.ndarray, fan_out: np.ndarray, title: str
) -> Figure:
    """The connection matrix (outputs down, inputs across) with fan-in and fan-out beside it.

    Args:
        shares: (out_channels, in_channels), the live share of each connection's taps: its shade.
        fan_in: (out_channels,) live connections of each output.
        fan_out: (in_channels,) live connections of each input.
        title: above it.
    """
    out_channels, in_channels = shares.shape
    # The matrix keeps its proportions between 1:4 and 4:1, so that thin layers stay readable.
    ratio = min(4.0, max(0.25, out_channels / in_channels))
    width, height = (6.0 / ratio, 6.0) if ratio > 1 else (6.0, 6.0 * ratio)
    figure = Figure(figsize=(width + 1.6, height + 1.8), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(width, 1), height_ratios=(1, height))
    matrix = figure.add_subplot(grid[1, 0])
    matrix.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    matrix.set_xlabel("input channel")
    matrix.set_ylabel("output channel")
    columns = figure.add_subplot(grid[0, 0], sharex=matrix)
    columns.bar(np.arange(in_channels), fan_out, width=1.0, color=_INK)
    columns.set_ylabel("fan-out")
    columns.tick_params(labelbottom=False)
    lines = figure.add_subplot(grid[1, 1], sharey=matrix)
    lines.barh(np.arange(out_channels), fan_in, height=1.0, color=_INK)
    lines.set_xlabel("fan-in")
    lines.tick_params(labelleft=False)
    figure.suptitle(title)
    return figure


def draw_windows(matrices: Sequence[tuple[str, np.ndarray]], label: str, title: str) -> Figure:
    """Matrices (neurons down, windows across) in two columns, two for each junction.

    Args:
        matrices: title and (neurons, windows) shares of each, an even number of them.
        label: of the colour bar.
        title: above it.
    """
    rows = len(matrices) // 2
    figure = Figure(figsize=(8.0, 2.6 * rows + 0.8), layout="constrained")
    for (name, shares), axes in zip(matrices, figure.subplots(rows, 2).flat, strict=True):
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_title(name, fontsize="medium")
        axes.set_xlabel("window")
        axes.set_ylabel("neuron")
    figure.colorbar(
        figure.axes[0].images[0], ax=figure.axes, label=label, shrink=0.8 / rows, aspect=15
    )
    figure.suptitle(title)
    return figure
