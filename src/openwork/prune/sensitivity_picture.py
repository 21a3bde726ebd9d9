"""`draw`: how much the error rises when one layer is cut, as a map of colours."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# matplotlib's own types leave keyword arguments open.

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from openwork._terminal import visible


def draw(
    names: Sequence[str],
    ratios: Sequence[float],
    rises: Sequence[Sequence[float | None]],
    title: str,
) -> Figure:
    """Layers down, ratios across; the darker, the more the error rises.

    Args:
        names: of the layers.
        ratios: that were tried.
        rises: for each layer the rise at each ratio; None where there is nothing to measure.
        title: above it.
    """
    values = np.array([[np.nan if x is None else x for x in row] for row in rises], dtype=float)
    width, height = 2.8 + 0.72 * len(ratios), 1.9 + 0.3 * len(names)
    figure = Figure(figsize=(max(5.5, width), max(3.0, height)), layout="constrained")
    axes = figure.add_subplot()
    highest = max(1e-9, float(np.nanmax(values, initial=0.0)))
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=highest, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            color = "white" if value > 0.6 * highest else "#263238"
            axes.text(column, row, f"{value:+.3f}", ha="center", va="center", size=7, color=color)
    axes.set_xticks(range(len(ratios)), [f"{ratio:.4g}" for ratio in ratios])
    axes.set_yticks(range(len(names)), list(map(visible, names)), size=8, parse_math=False)
    axes.set_xlabel("share of the layer that is cut")
    axes.set_title(title, fontsize="medium", parse_math=False)
    figure.colorbar(image, ax=axes, label="rise of the error")
    return figure
