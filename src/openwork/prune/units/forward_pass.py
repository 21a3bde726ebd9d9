"""What one forward pass shows: the order in which layers run, and which are heads.

No graph of the network is needed: autograd records where each tensor comes from.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.autograd.graph import Node

from openwork._call import Call, call_of
from openwork._mode import evaluation
from openwork._nested import flatten
from openwork._unchanged import unchanged
from openwork.errors import ArgumentError


@dataclass(frozen=True)
class ForwardPass:
    """The layers of one forward pass.

    Attributes:
        order: names of the layers that ran, in the order of their first calls.
        heads: the layers with an output that no other layer reads.
        read_elsewhere: the layers whose weight is also read by other code than the layer's own.
    """

    order: tuple[str, ...]
    heads: frozenset[str]
    read_elsewhere: frozenset[str] = frozenset()


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

    # Hooks last, or what they record would be put back too.
    with unchanged(model), evaluation(model), contextlib.ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_hook(record_calls_of(name)).remove)
        outputs = call.run(model)
    tensors = [leaf for leaf in flatten(outputs)[0] if isinstance(leaf, torch.Tensor)]
    ends = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
    heads = _heads(ends, calls) or set(list(calls)[-1:])
    read = _read_elsewhere(_reached(ends, ()), layers, calls)
    return ForwardPass(tuple(calls), frozenset(heads), frozenset(read))


def _read_elsewhere(
    nodes: Iterable[Node], layers: Mapping[str, nn.Module], calls: Mapping[str, list[Node | None]]
) -> set[str]:
    """Layers whose weight is read more often than the layer is called."""
    reads = Counter(
        id(source.variable)  # type: ignore[attr-defined]
        for node in nodes
        for source, _ in node.next_functions
        if source is not None and hasattr(source, "variable")
    )
    return {
        name for name, layer in layers.items() if reads[id(layer.weight)] > len(calls.get(name, ()))
    }


def _heads(ends: Iterable[Node], calls: Mapping[str, list[Node | None]]) -> set[str]:
    """Layers with a call that one of `ends` depends on and no other call does."""
    names = {node: name for name, nodes in calls.items() for node in nodes if node is not None}
    last = _reached(ends, names) & names.keys()
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
