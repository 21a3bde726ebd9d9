"""`share_left`: what a selection leaves of a network, without cutting it."""

from collections.abc import Mapping

from openwork.compact.select import Selection
from openwork.flow.analysis import Analysis


def share_left(analysis: Analysis, selection: Selection, costs: Mapping[str, float]) -> float:
    """How much of the summed costs of layers is left, from 0 to 1.

    Args:
        analysis: of the network.
        selection: what would be removed.
        costs: qualified name of a layer -> what it costs with all its channels.
    """
    gone = selection.gone
    whole = left = 0.0
    for weight in analysis.weights.values():
        cost = costs.get(weight.name.rpartition(".")[0], 0.0)
        out, inside = (~gone[ids] for ids in weight.by_group())
        groups = (out.any(1) & inside.any(1)).mean()
        whole += cost
        left += cost * out.mean() * inside.mean() / groups if groups else 0.0
    return left / whole if whole else 1.0
