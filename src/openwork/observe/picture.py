"""A picture of dead and selective channels by layer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from matplotlib.figure import Figure

from openwork.observe.histogram import histogram

if TYPE_CHECKING:
    from openwork.observe.report import LayerChannels


def draw(layers: Sequence["LayerChannels"]) -> Figure:
    """Above, the dead share of each layer by both measures; below, how universal channels are."""
    names, places = [layer.name for layer in layers], range(len(layers))
    figure = Figure(figsize=(max(6, 0.3 * len(layers) + 3), 6), layout="constrained")
    shares, spread = figure.subplots(2, 1, sharex=True)
    active = [layer.by_activation.float().mean().item() for layer in layers]
    shares.bar([place + 0.2 for place in places], active, 0.4, label="by activation")
    scaled = [
        (place - 0.2, layer.by_scale.float().mean().item())
        for place, layer in enumerate(layers)
        if layer.by_scale is not None
    ]
    shares.bar([p for p, _ in scaled], [share for _, share in scaled], 0.4, label="by scale")
    shares.set(ylabel="dead channels", ylim=(0, 1))
    shares.legend()
    counts = torch.stack([histogram(layer.universality) for layer in layers]).numpy()
    extent = (-0.5, len(layers) - 0.5, 0, 1)
    spread.imshow(counts.T, origin="lower", aspect="auto", extent=extent)
    spread.set(ylabel="universality")
    spread.set_xticks(list(places), names, rotation=90, size=6)
    return figure
