"""`emit`: the network with QDQ around its layers."""

from collections.abc import Mapping

import torch
from torch import fx

from openwork.capture.operators import arguments
from openwork.capture.qdq import DEQUANTIZE, DEQUANTIZE_CHANNELS, QUANTIZE
from openwork.quantize.layer import Layer, layer_of
from openwork.quantize.net import Net
from openwork.quantize.scheme import Scheme

Scales = Mapping[fx.Node, tuple[float, int]]
_UINT8 = (0, 255, torch.uint8)


def quantized_weight(layer: Layer, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The weight in int8, symmetric, and a scale for each output channel.

    Args:
        layer: zeros in its weight stay zeros.
        scale: of its input. Scales are large enough for the bias to fit int32 in units of both,
            as programs with integer kernels hold it; channels that are almost dead need that.
    """
    largest = layer.weight.flatten(1).abs().amax(1) / 127
    least = torch.full_like(largest, 1e-12)
    if layer.bias is not None:
        least = torch.maximum(least, layer.bias.abs() / (scale * 2**30))
    scales = torch.maximum(largest, least)
    each = scales.reshape(-1, *[1] * (layer.weight.dim() - 1))
    return torch.round(layer.weight / each).clamp(-127, 127).to(torch.int8), scales


def emit(net: Net, scheme: Scheme, scales: Scales) -> tuple[Net, dict[fx.Node, fx.Node]]:
    """The network in int8, and for each layer's node there the one in `net`."""
    made, origin = Net(fx.Graph(), {}), {}
    nodes: dict[fx.Node, fx.Node] = {}
    used = set(net.tensors)
    for node in net.graph.nodes:
        layer = layer_of(net, node) if node in scheme.layers else None
        if layer is not None:
            nodes[node] = _layer(made, layer, nodes[layer.input], scales[layer.input][0])
            origin[nodes[node]] = node
        elif node.op == "get_attr" and str(node.target) in used:
            nodes[node] = made.hold(str(node.target), net.tensors[str(node.target)])
        else:
            nodes[node] = made.graph.node_copy(node, nodes.__getitem__)
        if node in scheme.values:
            form = (*scales[node], *_UINT8)
            narrow = made.graph.call_function(QUANTIZE, (nodes[node], *form))
            nodes[node] = made.graph.call_function(DEQUANTIZE, (narrow, *form))
    made.graph.eliminate_dead_code()
    kept = {str(node.target) for node in made.graph.nodes if node.op == "get_attr"}
    made.tensors = {name: tensor for name, tensor in made.tensors.items() if name in kept}
    return made, origin


def _layer(made: Net, layer: Layer, input: fx.Node, scale: float) -> fx.Node:
    weight, scales = quantized_weight(layer, scale)
    bias = torch.zeros(len(weight)) if layer.bias is None else layer.bias.clone()
    held = [
        made.hold(f"{layer.name}.int8_{name}", tensor)
        for name, tensor in (
            ("weight", weight),
            ("scale", scales),
            ("zero_point", torch.zeros(len(weight), dtype=torch.int64)),
        )
    ]
    wide = made.graph.call_function(DEQUANTIZE_CHANNELS, (*held, 0, -127, 127, torch.int8))
    named = arguments(layer.node)
    named |= {"input": input, "weight": wide, "bias": made.hold(f"{layer.name}.int8_bias", bias)}
    made.layers[wide.name] = layer.name
    return made.graph.call_function(layer.node.target, tuple(named.values()))  # type: ignore[arg-type]
