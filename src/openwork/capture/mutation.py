"""In-place operators: whether reading them as ordinary ones changes what the network computes."""

from typing import Any

from torch._ops import OpOverload
from torch.fx import Graph, Node

from openwork.capture.out_of_place import writes

# Operators whose result shares no memory with what they read. Anything else is taken to share.
_FRESH = frozenset(
    f"{space}.{name}"
    for space, names in {
        "aten": (
            *("conv1d", "conv2d", "conv3d", "linear", "addmm", "matmul", "bmm", "batch_norm"),
            *("add", "sub", "mul", "div", "mean", "sum", "cat", "stack", "max_pool2d"),
            *("relu", "relu6", "silu", "gelu", "sigmoid", "tanh", "hardswish", "hardsigmoid"),
            *("hardtanh", "softmax", "leaky_relu", "elu", "avg_pool2d", "zeros_like"),
        ),
        "openwork": ("sparse_conv2d", "sparse_linear"),
    }.items()
    for name in names
)


def mutations_are_harmless(graph: Graph) -> bool:
    """Whether every in-place operator writes to memory that nobody looks at any more.

    Then `y.add_(x)` may be taken for `y + x`. Inputs, parameters and buffers are always looked at:
    whoever calls the network holds them.
    """
    order = {node: index for index, node in enumerate(graph.nodes)}
    memory: dict[Node, set[Node]] = {}
    for node in graph.nodes:
        shared = {node}
        for source in _shared(node):
            shared |= memory[source]
        for member in shared:
            memory[member] = shared
        if not writes(node.target):
            continue
        # A later change of the set grows it by nodes that come after this one, no others.
        for target in written(node):
            for member in memory[target] - {node}:
                if member.op != "call_function":
                    return False
                if any(order[user] > order[node] for user in member.users):
                    return False
    return True


def _shared(node: Node) -> list[Node]:
    """Inputs whose memory the result may share."""
    if writes(node.target):
        return written(node)
    target = node.target
    if isinstance(target, OpOverload):
        name = target._schema.name.rpartition("::")[2]
        if f"{target.namespace}.{name}" in _FRESH:
            return []
    return node.all_input_nodes


def written(node: Node) -> list[Node]:
    """The arguments that the schema marks as written to."""
    schema = node.target._schema  # type: ignore[union-attr]
    found: list[Node] = []
    for index, argument in enumerate(schema.arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        given: Any = node.args[index] if index < len(node.args) else node.kwargs.get(argument.name)
        found += [given] if isinstance(given, Node) else list(given or ())
    return found
