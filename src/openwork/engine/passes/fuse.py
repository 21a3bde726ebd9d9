"""Fewer steps for the same numbers: batch norms, sums and activations join what is before them."""

from dataclasses import replace

import numpy as np

from openwork.runtime.graph import Graph
from openwork.runtime.node import Node, TakesActivation
from openwork.runtime.nodes import Add, Affine, Conv, Pool
from openwork.runtime.values import Value, root


def fuse(graph: Graph) -> None:
    """Fold and fuse until nothing changes, in place.

    A node that joins its producer only makes the producer end later, so one pass in order suffices.
    """
    fusion = _Fusion(graph)
    for node in list(graph.nodes):
        for rule in (fusion.fold_affine, fusion.fuse_sum, fusion.fuse_activation):
            if rule(node):
                break
    graph.nodes = [node for node in fusion.nodes if node is not None]
    for node in list(graph.nodes):
        _pool_later(graph, node)


def _pool_later(graph: Graph, conv: Node) -> None:
    """Let a 1x1 convolution of averages run first, if that leaves fewer maps to average.

    Both are linear: the average of sums is the sum of averages. The bias and the activation follow
    the average, which counts padding as zeros.
    """
    if not isinstance(conv, Conv) or len(conv.inputs) > 1 or conv.linear or not _is_pointwise(conv):
        return
    pool = next((n for n in graph.nodes if n.output is conv.inputs[0]), None)
    if not isinstance(pool, Pool) or not pool.average or not graph.read_once(pool.output):
        return
    (source,), (channels, *_) = pool.inputs, conv.output.shape
    inputs, height, width = source.shape
    same_size = pool.output.shape[1:] == (height, width)
    if channels >= inputs or not same_size or pool.shift is not None:
        return
    sums = Value((channels, height, width), conv.output.name)
    later = replace(
        pool, inputs=[sums], output=conv.output, shift=conv.bias, activation=conv.activation
    )
    first = replace(
        conv, inputs=[source], output=sums, size=(height, width), bias=None, activation="none"
    )
    graph.replace([pool, conv], [first, later])


def _is_pointwise(conv: Conv) -> bool:
    return (conv.shape[2:], conv.stride, conv.padding) == ((1, 1), (1, 1), (0, 0))


class _Fusion:
    """The graph while it changes.

    Attributes:
        nodes: in order; None where one has joined a later one.
    """

    def __init__(self, graph: Graph) -> None:
        self.nodes: list[Node | None] = list(graph.nodes)
        self._reads: dict[Value, int] = {}
        self._makers: dict[Value, Node] = {}
        for value in graph.outputs:
            # A returned value is kept, as if a second node read it.
            self._reads[root(value)] = 2
        for node in graph.nodes:
            self._makers[node.output] = node
            for value in node.inputs:
                self._reads[root(value)] = self._reads.get(root(value), 0) + 1
        self._order = {node: index for index, node in enumerate(graph.nodes)}

    def fold_affine(self, node: Node) -> bool:
        """A factor and constant for each channel: they are folded into what makes its input."""
        if not isinstance(node, Affine):
            return False
        maker = self._maker(node.inputs[0])
        if isinstance(maker, Affine) and maker.activation == "none":
            maker.shift = maker.shift * node.scale + node.shift
            maker.scale = maker.scale * node.scale
            self._join(maker, node)
            return True
        if not isinstance(maker, Conv) or maker.activation != "none" or len(maker.inputs) > 1:
            return False
        conv = maker
        filters = conv.positions // int(np.prod(conv.shape[1:]))
        bias = np.zeros(conv.shape[0]) if conv.bias is None else conv.bias.astype(np.float64)
        conv.weight = (conv.weight * node.scale[filters]).astype(np.float32)
        conv.bias = (bias * node.scale + node.shift).astype(np.float32)
        self._join(conv, node)
        return True

    def fuse_sum(self, node: Node) -> bool:
        """A sum with the output of a convolution: the convolution adds it as it writes."""
        if not isinstance(node, Add) or len(node.inputs) != 2:
            return False
        first, second = node.inputs
        makers = [(self._maker(first), second), (self._maker(second), first)]
        convs = [(m, other) for m, other in makers if isinstance(m, Conv)]
        # The later producer first, which leaves less memory in use between the two.
        for conv, other in sorted(convs, key=lambda pair: -self._order[pair[0]]):
            if conv.activation == "none" and len(conv.inputs) == 1:
                conv.inputs = [conv.inputs[0], other]
                self._join(conv, node)
                return True
        return False

    def fuse_activation(self, node: Node) -> bool:
        """An activation alone: the node that makes its input applies it."""
        if not isinstance(node, Add) or len(node.inputs) != 1:
            return False
        maker = self._maker(node.inputs[0])
        if not isinstance(maker, TakesActivation) or maker.activation != "none":
            return False
        maker.activation = node.activation
        self._join(maker, node)
        return True

    def _maker(self, value: Value) -> Node | None:
        """The node that makes `value`, if nothing else reads it."""
        return self._makers.get(value) if self._reads[root(value)] == 1 else None

    def _join(self, maker: Node, node: Node) -> None:
        """Move `maker` to the place of `node`, and let it make the output of `node`."""
        del self._makers[maker.output]
        maker.output = node.output
        self._makers[node.output] = maker
        self.nodes[self._order[maker]] = None
        self._order[maker] = self._order[node]
        self.nodes[self._order[maker]] = maker
