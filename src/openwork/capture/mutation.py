"""Whether in-place operators can be treated as ordinary ones without changing any output."""

from torch._ops import OpOverload
from torch.fx import Graph, Node

from openwork.capture.operators import arguments, leaves
from openwork.capture.out_of_place import writes

__all__ = ["written"]

# Operators whose result shares no memory with their inputs. Everything else is assumed to alias its
# inputs.
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
    """Whether every in-place operator writes to memory that has no later reader.

    Then `y.add_(x)` can be treated as `y + x`. Inputs, parameters and buffers always have a later
    reader: the caller of the network.
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
        # Nodes that join the set later come after this one.
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
    given = arguments(node)
    nodes: list[Node] = []
    for argument in node.target._schema.arguments:  # type: ignore[union-attr]
        if argument.alias_info is not None and argument.alias_info.is_write:
            nodes += leaves(given[argument.name])
    return nodes
