"""`draw`: a picture of dead and selective channels by layer."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from openwork._terminal import visible

_BLUE, _ORANGE, _GREY = "#0b62a4", "#c2410c", "#5b6670"
# Characters of a layer's name; the end of a longer one tells it from its neighbours.
_LONGEST = 36


def draw(
    names: Sequence[str],
    dead_by_activation: Sequence[float],
    dead_by_scale: Sequence[float | None],
    universality: np.ndarray,
) -> Figure:
    """One row for each layer: left its dead channels by both measures, right how universal it is.

    Args:
        names: of the layers, in the order in which they run; the first is at the top.
        dead_by_activation, dead_by_scale: the share of each layer's channels; None without a scale.
        universality: (layers, bins) the share of each layer's channels in equal parts of [0, 1].
    """
    count = len(names)
    figure = Figure(figsize=(10, 2.4 + 0.26 * count), layout="constrained")
    shares, spread = figure.subplots(1, 2, sharey=True)
    _bars(shares, dead_by_activation, dead_by_scale)
    labels = [name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"
              for name in map(visible, names)]  # fmt: skip
    shares.set_yticks(range(count), labels, fontsize=9, parse_math=False)
    shares.set_ylim(count - 0.5, -0.5)
    extent = (0, 1, count - 0.5, -0.5)
    image = spread.imshow(universality, aspect="auto", extent=extent, vmin=0, vmax=1, cmap="Blues")
    spread.set_title("How universal the channels are", fontsize=11, loc="left")
    spread.set_xlabel("share of the images that excite a channel")
    spread.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    spread.tick_params(left=False)
    bar = figure.colorbar(image, ax=spread, label="share of the layer's channels")
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    figure.suptitle(
        f"Dead and selective channels of {count:,} layer{'' if count == 1 else 's'}", fontsize=13
    )
    return figure


def _bars(axes: Axes, activation: Sequence[float], scale: Sequence[float | None]) -> None:
    places = range(len(activation))
    scaled = [(p + 0.2, share) for p, share in enumerate(scale) if share is not None]
    # A bar alone lies at its layer's name.
    above = 0.2 if scaled else 0.0
    axes.barh([p - above for p in places], activation, 0.36, label="by activation", color=_BLUE)
    if scaled:
        held = [share for _, share in scaled]
        axes.barh([p for p, _ in scaled], held, 0.36, label="by scale", color=_ORANGE)
    worst = max([*activation, *(share for _, share in scaled)], default=0.0)
    axes.set_title("Dead channels", fontsize=11, loc="left")
    axes.set_xlabel("share of the layer's channels")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="x", color="#d5dae0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    # Room for a tenth at least, so that a bar of one channel does not look like all of them.
    axes.set_xlim(0, min(1.0, max(0.1, 1.1 * worst)))
    if worst:
        axes.legend(fontsize=9, loc="best")
    else:
        words = "No channel is dead\nby either measure." if scaled else "No channel is dead."
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center",
                  color=_GREY, fontsize=11)  # fmt: skip
