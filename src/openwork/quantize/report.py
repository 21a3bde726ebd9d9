"""`QuantizeReport`: what quantisation cost, as a whole and in each layer."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from torch import fx

from openwork._json import write_json
from openwork.nn import Table
from openwork.quantize.already import narrow_weight
from openwork.quantize.layer import is_layer, layer_name, layer_of
from openwork.quantize.net import Net

# How many of the worst layers a note names.
_NAMED = 3


@dataclass(frozen=True)
class QuantizeReport:
    """What quantisation cost.

    Attributes:
        scores: `evaluate` of the original and of the copy; without it, 1 and the share of images
            whose largest output is the same.
        layers: for each layer, int8 or float32, the share of its weights that are not zero, and
            signal over error of its output in decibels, its own error and that of layers before.
        calibrate: how ranges of activations were found.
        images: how many they were found with.
    """

    scores: tuple[float, float]
    layers: Table
    calibrate: str
    images: int

    def __str__(self) -> str:
        return str(self.layers)

    def print(self) -> None:
        """Print the table to standard output."""
        self.layers.print()

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write the report to `path` as JSON."""
        write_json(path, asdict(self) | {"layers": self.layers.plain()})


def layer_table(
    net: Net, left: Mapping[fx.Node, float], scores: tuple[float, float], judged: bool
) -> Table:
    """The table of a report.

    Args:
        net: the network in float32.
        left: node of a layer that became int8 -> its signal over error in decibels.
        scores: of the network before and after.
        judged: whether the user's function gave them.
    """
    rows: list[tuple[str, str, str | None, str | None]] = []
    for node in net.graph.nodes:
        if is_layer(node):
            layer, narrow, decibels = layer_of(net, node), narrow_weight(net, node), left.get(node)
            weight = layer.weight if layer is not None else narrow
            rows.append(
                (
                    layer_name(net, node),
                    "float32" if decibels is None and narrow is None else "int8",
                    None if weight is None else f"{float((weight != 0).float().mean()):.3g}",
                    None if decibels is None else f"{decibels:.1f}",
                )
            )
    what = "evaluated" if judged else "share of images that keep their class"
    change = f"{what}: {scores[0]:.6g} -> {scores[1]:.6g} ({scores[1] - scores[0]:+.3g})"
    columns = ("layer", "weights", "density", "signal / error, dB")
    most = f"most error: {worst_layers(net, left)}" if left else "quantised before, and kept as is"
    return Table(columns, tuple(rows), notes=(change, most))


def worst_layers(net: Net, left: Mapping[fx.Node, float]) -> str:
    """The layers with the largest error, in words."""
    found = sorted(left.items(), key=lambda pair: pair[1])[:_NAMED]
    return ", ".join(f"{layer_name(net, node)} ({x:.1f} dB)" for node, x in found)
