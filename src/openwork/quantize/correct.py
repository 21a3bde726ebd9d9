"""`correct_`: the mean error of each output channel goes into its bias; what error is left."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx

from openwork.quantize.net import Net


@torch.no_grad()
def correct_(
    net: Net,
    narrow: Net,
    origin: Mapping[fx.Node, fx.Node],
    inputs: Sequence[torch.Tensor],
    biases: bool,
) -> dict[fx.Node, float]:
    """Run both networks side by side, and correct the biases of `narrow` on the way.

    Args:
        net, narrow: the network in float32 and in int8.
        origin: layer of `narrow` -> the same in `net`.
        inputs: tensors `(N, ...)` of one call.
        biases: whether to correct them, or only measure.

    Returns:
        Node in `net` -> signal over error of that layer's output, in decibels.

    Source: "Data-Free Quantization Through Weight Equalization and Bias Correction" (Nagel et al.
    2019), empirical bias correction; ours includes the error of the layers before.
    """
    wide = net.walk(inputs)
    left: dict[fx.Node, float] = {}

    def see(node: fx.Node, value: Any) -> Any:
        if node not in origin:
            return value
        expected = next(each for at, each in wide if at is origin[node])
        # Channels are the second axis of convolutions and the last of linear layers.
        axis = value.dim() - 1 if "linear" in str(node.target) else 1
        others = [each for each in range(value.dim()) if each != axis]
        if biases:
            shift = (expected - value).mean(others)
            bias = next(each for each in node.all_input_nodes if str(each.target).endswith("_bias"))
            narrow.tensors[str(bias.target)] += shift
            value = value + shift.reshape([-1 if a == axis else 1 for a in range(value.dim())])
        signal, error = expected.square().sum(), (expected - value).square().sum()
        left[origin[node]] = 10 * math.log10(max(float(signal), 1e-30) / max(float(error), 1e-30))
        return value

    for _ in narrow.walk(inputs, see):
        pass
    return left
