"""`Snapshot`: a compiled network as a file holds it, plain data and live weights.

It holds the live weights of each layer that the kernels run, and the gaps between them, a byte for
each connection. Packing them again when a file is loaded takes less than reading the file does.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from openwork._machine import processor_name
from openwork.capture.call_form import CallForm
from openwork.engine.fallback import TorchConv
from openwork.engine.runners import Choice, Runners
from openwork.engine.torch_data import TorchEncoder
from openwork.runtime.file_errors import NotSerializable
from openwork.runtime.graph import Graph
from openwork.runtime.layers import DENSE
from openwork.runtime.node import Node, encode_node
from openwork.runtime.nodes import Conv


@dataclass(frozen=True)
class TunedOn:
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
    def here(cls, isa: str, optimize: str, images: int) -> "TunedOn":
        """This machine, with as many threads as torch uses now."""
        return cls(processor_name(), isa, torch.get_num_threads(), optimize, images)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A network as a file holds it.

    Attributes:
        tuned_on: where its kernels were chosen.
        network: JSON that names `tensors`; empty if it cannot be saved.
        tensors: live weights, gaps, biases and constants; dense weights are shared with what runs.
        refusal: what it holds that a file cannot, or None.
    """

    tuned_on: TunedOn
    network: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    refusal: str | None = None


def take_snapshot(
    graph: Graph,
    choices: Mapping[Conv, Choice],
    runners: Runners,
    nesting: Any,
    form: CallForm,
    tuned_on: TunedOn,
) -> Snapshot:
    """A network as a file will hold it.

    Args:
        graph: with the weights of its convolutions.
        choices, runners: what runs each of them.
        nesting: of the results.
        form: how the network is called.
        tuned_on: where kernels were chosen.
    """
    encoder = TorchEncoder()
    chosen = [choices[node] for node in graph.nodes if isinstance(node, Conv)]
    try:
        network = {
            "inputs": encoder.encode(graph.inputs),
            "nodes": [
                encode_node(_as_it_runs(node, choices, runners), encoder) for node in graph.nodes
            ],
            "kernels": [choice.name for choice in chosen],
            "without_torch": [choice.without_torch or choice.name for choice in chosen],
            "results": encoder.encode(graph.results),
            "nesting": encoder.encode(nesting),
            "call": encoder.encode(form.to_data()),
        }
    except NotSerializable as reason:
        return Snapshot(tuned_on, refusal=str(reason))
    return Snapshot(tuned_on, network | {"values": encoder.values}, encoder.tensors)


def _as_it_runs(node: Node, choices: Mapping[Conv, Choice], runners: Runners) -> Node:
    """`node`; with its dense weight where that is what runs."""
    if not isinstance(node, Conv):
        return node
    runner = runners[node]
    if isinstance(runner, TorchConv):
        weight = runner.weight.numpy()
    elif choices[node].name.startswith(DENSE):
        weight = node.dense_weight()
    else:
        return node
    return dataclasses.replace(node, positions=node.positions[:0], weight=weight)
