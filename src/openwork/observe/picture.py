"""`draw`: a picture of dead and selective channels by layer."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from openwork._terminal import visible


def draw(
    names: Sequence[str],
    dead_by_activation: Sequence[float],
    dead_by_scale: Sequence[float | None],
    universality: np.ndarray,
) -> Figure:
    """Above, the dead share of each layer by both measures; below, how universal channels are.

    Args:
        names: of the layers.
        dead_by_activation, dead_by_scale: the share of each layer's channels; None without a scale.
        universality: (layers, bins) the share of each layer's channels in equal parts of [0, 1].
    """
    places = range(len(names))
    figure = Figure(figsize=(max(6, 0.3 * len(names) + 3), 6), layout="constrained")
    shares, spread = figure.subplots(2, 1, sharex=True)
    shares.bar([p + 0.2 for p in places], dead_by_activation, 0.4, label="by activation")
    scaled = [(p - 0.2, share) for p, share in enumerate(dead_by_scale) if share is not None]
    shares.bar([p for p, _ in scaled], [share for _, share in scaled], 0.4, label="by scale")
    shares.set(ylabel="dead channels", ylim=(0, 1))
    shares.legend()
    extent = (-0.5, len(names) - 0.5, 0, 1)
    spread.imshow(universality.T, origin="lower", aspect="auto", extent=extent)
    spread.set(ylabel="universality")
    labels = [visible(name) for name in names]
    spread.set_xticks(list(places), labels, rotation=90, size=6, parse_math=False)
    return figure
