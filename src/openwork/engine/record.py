"""What a compiled network keeps of itself, so that it can be saved: plain data and live weights.

Of each layer that the kernels run the live weights stay, and the gaps between them, a byte a
connection. Packing them again when a file is loaded takes less than reading the file does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils import _pytree

from openwork._machine import processor_name
from openwork.engine.graph import Conv, Graph
from openwork.engine.nodes import encode_node
from openwork.engine.plain import Encoder, Unplain
from openwork.engine.program import TorchConv
from openwork.engine.segments import Runners
from openwork.engine.tune.tuner import Choice


@dataclass(frozen=True)
class Origin:
    """Where and for what kernels were chosen.

    Attributes:
        processor: its name.
        isa: instruction set.
        threads: of torch's pool.
        optimize: "speed" or "memory".
        images: batch size of the calls that were measured.
    """

    processor: str
    isa: str
    threads: int
    optimize: str
    images: int

    @classmethod
    def here(cls, isa: str, optimize: str, images: int) -> "Origin":
        """This machine, with as many threads as torch uses now."""
        return cls(processor_name(), isa, torch.get_num_threads(), optimize, images)


@dataclass(frozen=True, eq=False)
class Record:
    """A network as a file holds it.

    Attributes:
        origin: where its kernels were chosen.
        network: JSON that names `tensors`; empty if it cannot be saved.
        tensors: live weights, gaps, biases and constants; dense weights are shared with what runs.
        refusal: why it cannot be saved, or None.
    """

    origin: Origin
    network: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    refusal: str | None = None


def record(
    graph: Graph, choices: Mapping[int, Choice], runners: Runners, spec: Any, origin: Origin
) -> Record:
    """Note down a network.

    Args:
        graph: with the weights of its convolutions.
        choices, runners: what runs each of them.
        spec: torch's description of how the results are nested.
        origin: where kernels were chosen.
    """
    encoder = Encoder()
    try:
        nodes = []
        for node in graph.nodes:
            held = runners.get(id(node))
            weight = held.weight if isinstance(held, TorchConv) else None
            nodes.append(encode_node(node, encoder, weight))
        network = {
            "inputs": encoder.encode(graph.inputs),
            "nodes": nodes,
            "kernels": [choices[id(n)].name for n in graph.nodes if isinstance(n, Conv)],
            "results": encoder.encode(graph.results),
            "nesting": encoder.encode(nesting(spec, len(graph.results))),
        }
    except Unplain as reason:
        return Record(origin, refusal=str(reason))
    return Record(origin, network | {"values": encoder.values}, encoder.tensors)


def nesting(spec: Any, results: int) -> Any:
    """How the results are nested: each result's number in its place."""
    return _pytree.tree_unflatten(list(range(results)), spec)
