"""Networks that are quantised already: by QDQ operators, or by modules that trained with them."""

from typing import Any

import torch
from torch import fx, nn
from torch.ao.quantization.fake_quantize import FakeQuantizeBase

from openwork.capture.operators import arguments
from openwork.capture.qdq import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    QUANTIZE,
    QUANTIZE_CHANNELS,
)
from openwork.quantize.layer import is_layer
from openwork.quantize.net import Net

_DEQUANTIZE = (DEQUANTIZE, DEQUANTIZE_CHANNELS)


class FixedRange(nn.Module):
    """QDQ with the range that a module of quantisation-aware training found.

    Args:
        trained: that module; it must have seen an image.
    """

    def __init__(self, trained: Any) -> None:
        super().__init__()
        scale, zero = trained.calculate_qparams()
        self.register_buffer("scale", scale.detach().float().clone())
        self.register_buffer("zero", zero.detach().to(torch.int64).clone())
        self._bounds = int(trained.quant_min), int(trained.quant_max)
        self._dtype = torch.int8 if self._bounds[0] < 0 else torch.uint8
        self._axis = int(trained.ch_axis) if scale.numel() > 1 else -1
        self._number = float(scale.flatten()[0]), int(zero.flatten()[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`, `(N, ...)`, in steps."""
        low, high = self._bounds
        if self._axis < 0:
            form = (*self._number, low, high, self._dtype)
            return DEQUANTIZE(QUANTIZE(x, *form), *form)
        form = (self.scale, self.zero, self._axis, low, high, self._dtype)
        return DEQUANTIZE_CHANNELS(QUANTIZE_CHANNELS(x, *form), *form)


def fix_ranges_(model: nn.Module) -> nn.Module:
    """Replace each module of quantisation-aware training by its QDQ, in place; returns `model`."""
    for owner in list(model.modules()):
        for name, module in list(owner._modules.items()):
            if isinstance(module, FakeQuantizeBase):
                owner._modules[name] = FixedRange(module)
    return model


def is_quantised(net: Net) -> bool:
    """Whether a layer of `net` reads a dequantised weight."""
    return any(is_layer(node) and narrow_weight(net, node) is not None for node in net.graph.nodes)


def narrow_weight(net: Net, node: fx.Node) -> torch.Tensor | None:
    """The weight of a layer as it is before it is dequantised; None if it is not."""
    weight = arguments(node)["weight"]
    if not isinstance(weight, fx.Node) or weight.target not in _DEQUANTIZE:
        return None
    return net.constant(weight.args[0])
