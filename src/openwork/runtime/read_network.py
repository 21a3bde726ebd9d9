"""A file's JSON to a graph with packed layers; shared by `runtime.load` and `openwork.load`."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from openwork._nested import nest
from openwork.runtime.batch_sizes import BatchSizes
from openwork.runtime.check import check_order
from openwork.runtime.decode import Decoder
from openwork.runtime.file_errors import require
from openwork.runtime.graph import Graph
from openwork.runtime.node import Node, check_node, decode_node
from openwork.runtime.nodes import Conv
from openwork.runtime.values import Value

__all__ = ["read_batches", "read_graph", "read_nesting", "sizes_of"]

_Packed = TypeVar("_Packed")
_Tensor = TypeVar("_Tensor")


def read_graph(
    network: Mapping[str, Any], decoder: Decoder, pack: Callable[[Conv, str], _Packed]
) -> tuple[Graph, dict[Conv, _Packed]]:
    """The graph, its convolutions without their weights, and what `pack` made of each of them.

    Args:
        network: JSON.
        decoder: of its values and tensors.
        pack: makes what runs a convolution from it and its kernel's name. Weights are
            released after each, so that at most one layer is held twice.

    Raises:
        MalformedFile: the file breaks a rule of the format, or nodes do not fit each other.
    """
    inputs = decoder.decode_as(list[Value], "inputs", network["inputs"])
    results = decoder.decode_as(list[Any], "results", network["results"])
    kernels = decoder.decode_as(list[str], "kernels", network["kernels"])
    nodes: list[Node] = []
    packed: dict[Conv, _Packed] = {}
    for encoded in network["nodes"]:
        node = decode_node(encoded, decoder)
        check_node(node)
        if isinstance(node, Conv):
            require(len(packed) < len(kernels), "`kernels` must name one for each layer")
            runs = pack(node, kernels[len(packed)])
            node = node.without_weights()
            packed[node] = runs
        nodes.append(node)
    require(len(packed) == len(kernels), "`kernels` must name one for each layer")
    graph = Graph(inputs, results, nodes)
    check_order(graph)
    return graph, packed


def sizes_of(
    header: Mapping[str, Any], tensors: dict[str, _Tensor]
) -> list[tuple[Mapping[str, Any], dict[str, _Tensor]]]:
    """The header and the tensors of the network at each size of images, the example's first.

    Further sizes name their tensors in their own way, since equal ones are stored once.

    Raises:
        MalformedFile: one names a tensor that is not there.
    """
    return [
        (header, tensors),
        *((size, _tensors_of(size, tensors)) for size in header.get("sizes", [])),
    ]


def _tensors_of(size: Mapping[str, Any], tensors: Mapping[str, _Tensor]) -> dict[str, _Tensor]:
    named = size["tensors"]
    for stored in named.values():
        require(stored in tensors, f"`sizes` names {stored!r}, which must be a tensor of the file")
    return {name: tensors[stored] for name, stored in named.items()}


def read_batches(header: Mapping[str, Any], decoder: Decoder) -> BatchSizes:
    """The batch sizes that the network takes.

    Raises:
        MalformedFile, ValueError: bounds or conditions are invalid.
    """
    only = decoder.decode_as(int | None, "batch", header["batch"])
    # Files written before there were bounds hold `batch` alone.
    encoded = header.get("batches", {"tuple": [only or 1, only, {"tuple": []}]})
    hint = tuple[int, int | None, tuple[str, ...]]
    batches = BatchSizes(*decoder.decode_as(hint, "batches", encoded))
    least, most = batches.least, batches.most
    require(
        1 <= least <= (most or least),
        f"batches must have rising bounds of at least 1, not {batches}",
    )
    return batches


def read_nesting(network: Mapping[str, Any], decoder: Decoder, results: int) -> Any:
    """How the results are nested in containers: each result's number in its place.

    Raises:
        MalformedFile: it does not hold each number once, in order.
    """
    nesting = decoder.decode(network["nesting"])
    numbers: list[Any] = []
    nest(nesting, numbers.append)
    expected = list(range(results))
    require(
        numbers == expected and all(type(number) is int for number in numbers),
        f"`nesting` must hold the numbers of {results} results, each once and in order",
    )
    return nesting
