"""The pass that lets a quantised network stay in bytes between its layers.

A graph is lowered with its quantisations as steps: numbers become bytes, and floats again before
each layer. Here what lies between is joined into steps from bytes to bytes. They compute what the
steps that they stand for do with exact sums.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from openwork.engine.lower.context import NarrowWeight
from openwork.engine.passes.remove_unread import remove_unread
from openwork.runtime.graph import Graph
from openwork.runtime.node import Node
from openwork.runtime.nodes import (
    Add,
    ByteAdd,
    ByteConv,
    ByteMean,
    BytePool,
    Concat,
    Conv,
    Dequantize,
    Mean,
    Pool,
    Quantize,
)
from openwork.runtime.nodes.quantised import MOST_INPUTS, bytes_of
from openwork.runtime.values import Value, root

_BOUNDS = {"none": (-np.inf, np.inf), "relu": (0.0, np.inf), "relu6": (0.0, 6.0)}
# Files hold no infinities.
_LARGEST = float(np.finfo(np.float32).max)


def join_bytes(graph: Graph, weights: Mapping[Any, NarrowWeight]) -> list[str]:
    """Join steps around layers of bytes, in place.

    Args:
        graph: as it was lowered.
        weights: convolution -> its weight in int8, if it has one.

    Returns:
        Which layers of a quantised network stay float32, and why.
    """
    if not any(isinstance(node, Quantize | Dequantize) for node in graph.nodes):
        return []
    joining = _Joining(graph, weights)
    for node in list(graph.nodes):
        joining.move_later(node)
    for node in list(graph.nodes):
        if isinstance(node, Quantize):
            joining.join(node)
    reasons: list[str] = []
    for node in list(graph.nodes):
        if isinstance(node, Conv):
            reasons += joining.to_float(node)
    remove_unread(graph)
    return reasons


@dataclass(frozen=True)
class _Layer:
    """A layer, its sum and its activation, before their result becomes bytes or is read.

    Attributes:
        maker: what makes the numbers: a convolution, a mean, or a sum of two values.
        residual: what is added to those of a convolution; None if nothing is.
        activation: applied last.
        last: the node whose output it all is.
    """

    maker: Node
    residual: Value | None
    activation: str
    last: Node


class _Joining:
    """The graph while it changes."""

    def __init__(self, graph: Graph, weights: Mapping[Any, NarrowWeight]) -> None:
        self._graph, self._weights = graph, weights
        self._index()

    def move_later(self, node: Node) -> None:
        """Let what only moves or compares numbers do so with bytes."""
        made: Node | None = None
        if isinstance(node, Pool) and not node.average and node.activation == "none":
            made = self._pool(node)
        elif isinstance(node, Concat):
            made = self._concat(node)
        elif isinstance(node, Quantize):
            self._drop(node)
        before = self._dequantized(node.inputs[0])
        if made is None or before is None:
            return
        after = Dequantize([made.output], node.output, before.scale, before.zero)
        self._replace([node], [made, after])

    def join(self, node: Quantize) -> None:
        """Let the layer before a quantisation write bytes itself, if it reads bytes."""
        layer = self._layer(node.inputs[0])
        made = None if layer is None else self._joined(node, layer)
        if layer is not None and made is not None:
            self._replace([layer.maker, node], [made])

    def to_float(self, conv: Conv) -> list[str]:
        """Let a convolution that reads bytes write floats; else why it stays float32."""
        reason, source = self._refusal(conv), self._dequantized(conv.inputs[0])
        if reason is not None or source is None:
            return [f"{conv.layer} stayed float32 because {reason}"]
        made = self._conv(conv, source, None, conv.output)
        self._replace([conv], [made])
        return []

    def _index(self) -> None:
        self._makers = {node.output: node for node in self._graph.nodes}
        self._reads: dict[Value, int] = {}
        for value in self._graph.outputs:
            self._reads[root(value)] = 2
        for node in self._graph.nodes:
            for value in node.inputs:
                self._reads[root(value)] = self._reads.get(root(value), 0) + 1

    def _replace(self, old: list[Node], new: list[Node]) -> None:
        self._graph.replace(old, new)
        self._index()

    def _dequantized(self, value: Value) -> Dequantize | None:
        maker = self._makers.get(root(value))
        return maker if isinstance(maker, Dequantize) else None

    def _pool(self, node: Pool) -> Node | None:
        before = self._dequantized(node.inputs[0])
        if before is None:
            return None
        channels, height, width = node.inputs[0].shape
        output = bytes_of(node.output.floats, f"{node.output.name}_bytes")
        sizes = (height, width), (node.output.shape[1], node.output.shape[2])
        windows = node.kernel, node.stride, node.padding
        return BytePool([before.inputs[0]], output, channels, *sizes, *windows)

    def _concat(self, node: Concat) -> Node | None:
        parts = [None if part is None else self._dequantized(part) for part in node.parts]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts) or len({(part.scale, part.zero) for part in known}) != 1:
            return None
        if any(part.output.floats % 4 for part in known):
            return None
        values = [part.inputs[0] for part in known]
        floats = [value.floats for value in values]
        output = bytes_of(4 * sum(floats), f"{node.output.name}_bytes")
        return Concat(values, output, list(values), floats)

    def _drop(self, node: Quantize) -> None:
        """Bytes that become floats and the same bytes again stay as they are."""
        before = self._dequantized(node.inputs[0])
        if before is None or (before.scale, before.zero) != (node.scale, node.zero):
            return
        if (node.least, node.most) != (0, 255):
            return
        for reader in self._graph.nodes:
            if node.output in reader.inputs:
                reader.inputs = [
                    before.inputs[0] if value is node.output else value for value in reader.inputs
                ]
        self._index()

    def _layer(self, value: Value) -> _Layer | None:
        """What makes `value`, if nothing else reads what lies between."""
        last = maker = self._maker(value)
        activation, residual = "none", None
        if isinstance(maker, Add) and len(maker.inputs) == 1 and maker.activation in _BOUNDS:
            activation = maker.activation
            maker = self._maker(maker.inputs[0])
        if isinstance(maker, Add) and len(maker.inputs) == 2 and maker.activation == "none":
            for own, other in (maker.inputs, maker.inputs[::-1]):
                conv = self._maker(own)
                if isinstance(conv, Conv) and self._dequantized(other) and not self._refusal(conv):
                    maker, residual = conv, other
                    break
        if last is None or not isinstance(maker, Conv | Mean | Add):
            return None
        return _Layer(maker, residual, activation, last)

    def _maker(self, value: Value) -> Node | None:
        return self._makers.get(root(value)) if self._reads[root(value)] == 1 else None

    def _joined(self, node: Quantize, layer: _Layer) -> Node | None:
        maker = layer.maker
        sources = [self._dequantized(value) for value in maker.inputs]
        known = [source for source in sources if source is not None]
        if len(known) < len(sources):
            return None
        if isinstance(maker, Conv):
            return (
                None if self._refusal(maker) else self._quantized_conv(node, maker, layer, known[0])
            )
        least, most = _bounds(node, layer.activation)
        # A bound between two bytes is one of numbers before they are rounded.
        if least != int(least) or most != int(most):
            return None
        span = node.zero, int(least), int(most)
        values = [source.inputs[0] for source in known]
        if isinstance(maker, Mean):
            maps, *pixels = maker.inputs[0].shape
            numbers = int(np.prod(pixels))
            factor = known[0].scale / (node.scale * numbers)
            return ByteMean(values, node.output, maps, numbers, known[0].zero, factor, *span)
        if len(known) != 2:
            return None
        first, second = ((source.zero, source.scale / node.scale) for source in known)
        return ByteAdd(values, node.output, first, second, *span)

    def _quantized_conv(
        self, node: Quantize, conv: Conv, layer: _Layer, source: Dequantize
    ) -> Node:
        made = self._conv(conv, source, node, node.output)
        least, most = _bounds(node, layer.activation)
        residual = None if layer.residual is None else self._dequantized(layer.residual)
        if residual is None:
            return replace(made, least=least, most=most)
        return replace(
            made,
            inputs=[source.inputs[0], residual.inputs[0]],
            least=least,
            most=most,
            residual_zero=residual.zero,
            residual_scale=residual.scale / node.scale,
        )

    def _conv(self, conv: Conv, source: Dequantize, to: Quantize | None, output: Value) -> ByteConv:
        """`conv` from bytes, to bytes or to floats."""
        weight = self._weights[conv]
        step = 1.0 if to is None else to.scale
        bias = np.zeros(conv.shape[0]) if conv.bias is None else conv.bias.astype(np.float64)
        return ByteConv(
            [source.inputs[0]],
            output,
            conv.layer,
            conv.size,
            conv.stride,
            conv.padding,
            conv.dilation,
            conv.groups,
            np.ascontiguousarray(weight.numbers.reshape(conv.shape)),
            source.zero,
            (source.scale * weight.scale / step).astype(np.float32),
            (bias / step).astype(np.float32),
            *((-_LARGEST, _LARGEST) if to is None else (float(to.least), float(to.most))),
            None if to is None else to.zero,
        )

    def _refusal(self, conv: Conv) -> str | None:
        """Why a convolution cannot run on bytes; None if it can."""
        if conv not in self._weights:
            return "its weight is not symmetric int8"
        if self._dequantized(conv.inputs[0]) is None:
            return "its input is not in bytes"
        if self._weights[conv].numbers[0].size > MOST_INPUTS:
            return f"its filters have more than {MOST_INPUTS} weights"
        return None


def _bounds(node: Quantize, activation: str) -> tuple[float, float]:
    """Bounds of bytes that an activation and the quantisation leave."""
    low, high = (node.zero + bound / node.scale for bound in _BOUNDS[activation])
    # One bound beyond the other: rounding goes to the nearer end of what bytes hold.
    least = min(max(node.least, low), node.most)
    return float(least), float(max(min(node.most, high), least))
