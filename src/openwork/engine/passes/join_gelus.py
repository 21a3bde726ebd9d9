"""The pass that makes one step of a GELU that is written out, as it is in ONNX files.

Before their operator set 20 such files have no GELU: exporters write x / sqrt(2), its error
function, plus 1, times x, times a half, five steps over the largest maps of a ConvNeXt.
"""

import math

import numpy as np

from openwork.runtime.graph import Graph
from openwork.runtime.node import Node
from openwork.runtime.nodes import Affine, Arithmetic, PointFunction
from openwork.runtime.values import Value


def join_gelus(graph: Graph) -> None:
    """Replace each x (1 + erf(x / sqrt(2))) / 2 by one step, in place."""
    for node in list(graph.nodes):
        if isinstance(node, PointFunction) and node.function == "erf":
            _join(graph, node)


def _join(graph: Graph, erf: Node) -> None:
    before, after = _maker(graph, erf.inputs[0]), _reader(graph, erf)
    source, factor = _scaled(before)
    if before is None or source is None or not _near(factor, math.sqrt(0.5)):
        return
    # share * (1 + erf).
    share = _shared(after)
    last = None if after is None or share is None else _reader(graph, after)
    if after is None or share is None or not isinstance(last, Arithmetic):
        return
    joined: list[Node] = [before, erf, after, last]
    other = next((value for value in last.inputs if value is not after.output), after.output)
    if other is not source:
        # The half may be here, or in front of the product, or behind it.
        halved = _maker(graph, other)
        own, factor = _scaled(halved)
        if halved is None or own is not source or not graph.read_once(other):
            return
        share *= factor
        joined.append(halved)
    is_product, kept = last.operation == "product", graph.read_once(before.output)
    if is_product and not _near(share, 0.5) and (behind := _reader(graph, last)) is not None:
        share *= _scaled(behind)[1]
        joined.append(last := behind)
    if is_product and kept and _near(share, 0.5):
        graph.replace(joined, [PointFunction([source], last.output, "gelu")])


def _maker(graph: Graph, value: Value) -> Node | None:
    return next((node for node in graph.nodes if node.output is value), None)


def _reader(graph: Graph, node: Node) -> Node | None:
    """The only node that reads the output of `node`, in its own shape."""
    if not graph.read_once(node.output):
        return None
    return next((each for each in graph.nodes if node.output in each.inputs), None)


def _scaled(node: Node | None) -> tuple[Value | None, float]:
    """What a node multiplies, and by which number; (None, NaN) if it does anything else."""
    if not isinstance(node, Affine) or node.activation != "none" or np.any(node.shift != 0):
        return None, math.nan
    factor = float(node.scale[0])
    return (node.inputs[0], factor) if np.all(node.scale == factor) else (None, math.nan)


def _shared(node: Node | None) -> float | None:
    """The number by which a node multiplies, if it is also what it adds."""
    if not isinstance(node, Affine) or node.activation != "none":
        return None
    share = float(node.scale[0])
    return share if np.all(node.scale == share) and np.all(node.shift == share) else None


def _near(number: float, wanted: float) -> bool:
    return abs(number - wanted) <= 1e-6 * wanted
