"""What one forward pass shows: the order in which layers run, and which are heads.

No graph of the network is needed: autograd records where each tensor comes from.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import Node

from openwork._call import Call, call_of
from openwork._mode import evaluation
from openwork._nested import flatten
from openwork.errors import ArgumentError


@dataclass(frozen=True)
class ForwardPass:
    """The layers of one forward pass.

    Attributes:
        order: names of the layers that ran, in the order of their first calls.
        heads: the layers with an output that no other layer reads.
    """

    order: tuple[str, ...]
    heads: frozenset[str]


def trace_forward(
    model: nn.Module, layers: Mapping[str, nn.Module], example: Call | torch.Tensor
) -> ForwardPass:
    """Run `model` on `example` (N, ...) in evaluation mode and record in which order `layers` run.

    Raises:
        ArgumentError: the network does not take the example.
    """
    call = call_of(model, example)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            return _traced(model, layers, call.map(_with_gradient))
    except Exception:
        # Some networks run only without gradients; then the last layer counts as the head.
        try:
            with torch.no_grad():
                return _traced(model, layers, call.map(torch.clone))
        except Exception as error:
            raise ArgumentError(
                f"`example` of shape {tuple(call[0].shape)} and {call[0].dtype} does not go "
                f"through {type(model).__name__}: {str(error).strip().rstrip('.')}. Pass an input "
                "batch of the network"
            ) from error


def _with_gradient(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor.clone()
    # The second clone is not a leaf, so that networks may change it in place.
    return tensor.detach().clone().requires_grad_().clone()


def _traced(model: nn.Module, layers: Mapping[str, nn.Module], call: Call) -> ForwardPass:
    calls: dict[str, list[Node | None]] = {}

    def record_calls_of(name: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        def hook(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
            calls.setdefault(name, []).append(output.grad_fn)

        return hook

    handles = [layer.register_forward_hook(record_calls_of(name)) for name, layer in layers.items()]
    try:
        with evaluation(model):
            outputs = call.run(model)
    finally:
        for handle in handles:
            handle.remove()
    heads = _heads(outputs, calls) or set(list(calls)[-1:])
    return ForwardPass(tuple(calls), frozenset(heads))


def _heads(outputs: Any, calls: Mapping[str, list[Node | None]]) -> set[str]:
    """Layers with a call that an output depends on and no other call does."""
    names = {node: name for name, nodes in calls.items() for node in nodes if node is not None}
    tensors = [leaf for leaf in flatten(outputs)[0] if isinstance(leaf, torch.Tensor)]
    last = _reached((t.grad_fn for t in tensors if t.grad_fn is not None), names) & names.keys()
    before = (source for node in last for source, _ in node.next_functions if source is not None)
    return {names[node] for node in last - _reached(before, ())}


def _reached(start: Iterable[Node], stop: Iterable[Node]) -> set[Node]:
    """`start` and all nodes that they depend on, without looking past the nodes of `stop`."""
    ends, reached = set(stop), set(start)
    waiting = list(reached)
    while waiting:
        node = waiting.pop()
        if node in ends:
            continue
        sources = {source for source, _ in node.next_functions if source is not None} - reached
        reached |= sources
        waiting += sources
    return reached
