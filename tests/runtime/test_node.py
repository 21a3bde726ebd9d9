"""Nodes: their sizes are checked, and a new one is a single class."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from openwork.kernels.native import extension as _C
from openwork.runtime.aliasing import Aliasing
from openwork.runtime.decode import Decoder
from openwork.runtime.emission import Emission
from openwork.runtime.encode import Encoder
from openwork.runtime.file_errors import MalformedFile, require
from openwork.runtime.graph import Graph
from openwork.runtime.node import Node, check_node, check_shapes, decode_node, encode_node
from openwork.runtime.nodes import Add, Concat, Mean, Slice
from openwork.runtime.program import Native
from openwork.runtime.read_network import read_graph
from openwork.runtime.values import Value, View


@pytest.mark.parametrize(
    ("node", "rule"),
    [
        (Add([Value((2,), "x")], Value((3,), "y")), "must be as large as its output"),
        (Add([], Value((3,), "y")), "must have 1 or 2 inputs, not 0"),
        (Add([Value((-1,), "x")], Value((3,), "y")), "'x' must have a known shape"),
        (Mean([Value((2, 3, 3), "x")], Value((3,), "y")), "the output must have 2 numbers"),
        (Slice([Value((4, 3), "x")], Value((2, 3), "y"), 3), r"`first`=3 must lie in \[0, 2\]"),
        (Slice([Value((4, 3), "x")], Value((2, 3), "y"), -1), r"`first`=-1 must lie in"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_sizes_must_fit(node: Node, rule: str) -> None:
    with pytest.raises(MalformedFile, match=f"{type(node).__name__} 'y': .*{rule}"):
        check_node(node)


def test_every_kind_of_node_checks_and_emits() -> None:
    for kind in Node.kinds.values():
        assert {"check", "emit"} <= set(vars(kind))


@dataclass(eq=False)
class Doubled(Node):
    """The input plus itself, `times` times: a node that only this test knows."""

    times: int

    def check(self) -> None:
        check_shapes(self, 1)
        require(self.times >= 1, "`times` must be at least 1")

    def emit(self, to: Emission) -> None:
        source, target = to.slot(self.inputs[0]), to.slot(self.output)
        to.native.add(source, source, target, to.activation("none"))
        for _ in range(self.times - 1):
            to.native.add(target, target, target, to.activation("none"))

    def overwritable(self) -> list[Value]:
        return self.inputs


@pytest.fixture
def graph() -> Graph:
    x, y, z = (Value((2, 2, 3), name) for name in "xyz")
    both = Value((4, 2, 3), "both")
    nodes = [Doubled([x], y, 2), Doubled([y], z, 1), Concat([x, z], both, [x, z], [2, 2])]
    return Graph([x], [both], nodes)


def _run(graph: Graph, array: np.ndarray) -> np.ndarray:
    program = Native(graph.nodes, {}, set(graph.outputs), _C.chosen_isa())
    output = np.full((len(array), *graph.outputs[0].shape), np.nan, np.float32)
    program.run([array], [output], len(array), 1)
    return output


def test_a_new_node_is_one_class(graph: Graph) -> None:
    """It is checked, run, placed, saved and loaded although no other file mentions it."""
    one, two, joined = graph.nodes
    check_node(one)
    assert one.step == ("y", "doubled")
    array = np.random.default_rng(0).random((3, 2, 2, 3), np.float32)
    expected = np.concatenate([array, 8 * array], 1)
    assert np.array_equal(_run(graph, array), expected)
    # It writes straight into the concatenation; without that, it overwrites its input.
    fixed = {graph.inputs[0], joined.output}
    assert Aliasing(graph.nodes, fixed).view(two.output) == View(joined.output, 12)
    assert Aliasing(graph.nodes[:2], {graph.inputs[0]}).view(two.output) == View(one.output, 0)
    encoder = Encoder()
    network: dict[str, Any] = {
        "inputs": encoder.encode(graph.inputs),
        "nodes": [encode_node(node, encoder) for node in graph.nodes],
        "results": encoder.encode(graph.results),
        "kernels": [],
        "values": encoder.values,
    }
    network = json.loads(json.dumps(network))
    decoder = Decoder(encoder.tensors, network["values"])
    loaded, _ = read_graph(network, decoder, lambda conv, kernel: None)
    assert isinstance(loaded.nodes[0], Doubled)
    assert np.array_equal(_run(loaded, array), expected)


def test_a_new_nodes_fields_are_checked(graph: Graph) -> None:
    encoder = Encoder()
    encoded = encode_node(graph.nodes[0], encoder)
    decoder = Decoder(encoder.tensors, encoder.values)
    for damage, message in (
        ({"times": 2.5}, "`times` of a Doubled must be"),
        ({"turns": 2}, "a Doubled has the fields"),
        ({"kind": "Tripled"}, "'Tripled' is not one of the kinds"),
    ):
        with pytest.raises(MalformedFile, match=message):
            decode_node(encoded | damage, decoder)
    with pytest.raises(MalformedFile, match="Doubled 'y': `times` must be at least 1"):
        check_node(decode_node(encoded | {"times": 0}, decoder))
