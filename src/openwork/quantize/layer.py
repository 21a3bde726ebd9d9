"""`NetLayer`: a convolution or linear layer of a `Net`, whose weight is known."""

from dataclasses import dataclass

import torch
from torch import fx

from openwork.capture.operators import arguments, convolution
from openwork.quantize.net import Net, free_name, name_of

_CONVS = ("conv1d", "conv2d", "conv3d", "convolution")


@dataclass(frozen=True, eq=False)
class NetLayer:
    """A layer, its output channels along the first axis of its weight.

    Attributes:
        name: of its module.
        node: that computes it.
        input: what it reads.
        weight: `(out, ...)`, float32.
        bias: `(out,)`, or None.
    """

    name: str
    node: fx.Node
    input: fx.Node
    weight: torch.Tensor
    bias: torch.Tensor | None
    weight_argument: str = "weight"


def is_layer(node: fx.Node) -> bool:
    """Whether a node is a convolution, plain or transposed, or a linear layer."""
    name = name_of(node) if node.op == "call_function" else ""
    return name in (*_CONVS, "linear") or name.startswith("conv_transpose")


def layer_of(net: Net, node: fx.Node) -> NetLayer | None:
    """The layer that `node` computes; None for other nodes, and layers of other kinds."""
    if not is_layer(node) or name_of(node).startswith("conv_transpose"):
        return None
    if name_of(node) in _CONVS and convolution(node).transposed:
        return None
    named = arguments(node)
    weight, bias = net.constant(named["weight"]), net.constant(named["bias"])
    if weight is None or (named["bias"] is not None and bias is None):
        return None
    if weight.dtype != torch.float32 or net.constant(named["input"]) is not None:
        return None
    return NetLayer(layer_name(net, node), node, named["input"], weight, bias)


def layer_name(net: Net, node: fx.Node) -> str:
    """The name of the module that a node with a weight computes."""
    if node.name not in net.layers:
        weight = arguments(node)["weight"]
        held = str(weight.target) if isinstance(weight, fx.Node) else ""
        path, _, last = held.rpartition(".")
        name = path if last == "weight" and path else node.name
        net.layers[node.name] = free_name(name, net.layers.values())
    return net.layers[node.name]
