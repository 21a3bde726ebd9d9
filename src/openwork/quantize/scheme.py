"""`Scheme`: which values of a network are uint8, and which of them share a scale."""

from dataclasses import dataclass, field

import torch
from torch import fx

from openwork.quantize.layer import layer_of
from openwork.quantize.net import Net, name_of

_CLAMPS = ("relu", "relu6", "hardtanh", "clamp", "clamp_min")
_SHARES = ("max_pool2d", "cat", "slice", "pad", "flatten", "view", "reshape", "permute",
    "transpose", "squeeze", "unsqueeze", "upsample_nearest2d", "pixel_shuffle")  # fmt: skip
_COMPUTES = ("add", "mean", "avg_pool2d", "adaptive_avg_pool2d", *_CLAMPS)


@dataclass(eq=False)
class Scheme:
    """What becomes of each value.

    Attributes:
        layers: nodes of the layers that compute in int8.
        values: nodes whose values are uint8.
        same: value -> the one whose scale it shares, perhaps itself.
    """

    layers: list[fx.Node] = field(default_factory=list)
    values: set[fx.Node] = field(default_factory=set)
    same: dict[fx.Node, fx.Node] = field(default_factory=dict)

    def root(self, node: fx.Node) -> fx.Node:
        """The value whose scale `node` has."""
        while self.same.get(node, node) is not node:
            node = self.same[node]
        return node


def scheme_of(net: Net) -> Scheme:
    """The scheme: a layer reads uint8; a sum and a ReLU after it belong to it."""
    found = Scheme([node for node in net.graph.nodes if layer_of(net, node) is not None])
    inside = _inside(found.layers)
    narrow = {*found.layers, *inside.values()}
    for node in reversed(list(net.graph.nodes)):
        if node not in inside and _is_float(node) and any(user in narrow for user in node.users):
            found.values.add(node)
            if name_of(node) in (*_SHARES, *_COMPUTES) and _computed(node):
                narrow.add(node)
    for node in net.graph.nodes:
        if node in found.values and node in narrow and name_of(node) in _SHARES:
            for source in node.all_input_nodes:
                if source in found.values:
                    found.same[found.root(source)] = found.root(node)
    return found


def _inside(layers: list[fx.Node]) -> dict[fx.Node, fx.Node]:
    """Values that stay within a layer with its sum and ReLU -> what reads them."""
    inside: dict[fx.Node, fx.Node] = {}
    # The last layer before a sum takes it, since by then the other summand is known.
    for node in reversed(layers):
        user = _only_user(node)
        free = user is not None and user not in inside.values()
        if user is not None and free and name_of(user) == "add" and _is_plain_sum(user):
            inside[node], node = user, user
            user = _only_user(node)
        if user is not None and name_of(user) in _CLAMPS:
            inside[node] = user
    return inside


def _only_user(node: fx.Node) -> fx.Node | None:
    user = next(iter(node.users)) if len(node.users) == 1 else None
    return user if user is not None and user.op == "call_function" else None


def _is_plain_sum(node: fx.Node) -> bool:
    sources = node.all_input_nodes
    shapes = {tuple(map(str, each.meta["val"].shape)) for each in sources if _is_float(each)}
    return len(sources) == 2 and all(map(_is_float, sources)) and len(shapes) == 1


def _is_float(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return (
        node.op != "get_attr" and isinstance(value, torch.Tensor) and value.dtype == torch.float32
    )


def _computed(node: fx.Node) -> bool:
    """Whether an operator can be one on uint8: all its tensors are computed."""
    if name_of(node) == "add":
        return _is_plain_sum(node)
    zeros = name_of(node) != "pad" or all(value in (None, 0, "constant") for value in node.args[2:])
    return zeros and all(each.op != "get_attr" for each in node.all_input_nodes)
