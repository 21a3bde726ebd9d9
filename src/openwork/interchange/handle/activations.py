"""Activations."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from openwork.interchange.builder import Builder, rank_of, with_rank
from openwork.interchange.onnx_node import OnnxNode
from openwork.interchange.values import Constant, NotReadable, Value, as_constant

Handler = Callable[[Builder, OnnxNode], Any]


def _plain(make: Callable[[OnnxNode], nn.Module]) -> Handler:
    """A handler for an activation that is a module of torch."""

    def handler(net: Builder, node: OnnxNode) -> Value:
        return net.module(make(node), node, node.input(0))

    return handler


def _function(function: Callable[..., Any], *settings: tuple[str, Any]) -> Handler:
    """A handler for a function of the input and of attributes."""

    def handler(net: Builder, node: OnnxNode) -> Value:
        x = node.input(0)
        given = [node.attribute(name, default) for name, default in settings]
        return with_rank(net.call(function, x, *given), rank_of(x))

    return handler


def clip(net: Builder, node: OnnxNode) -> Value:
    """`Clip`; before opset 11 with limits as attributes."""
    x, low, high = node.input(0), node.optional(1), node.optional(2)
    bounds = [as_constant(each) if each is not None else None for each in (low, high)]
    known = all(
        each is None or bound is not None for each, bound in zip((low, high), bounds, strict=True)
    )
    if not known:
        given = [each if each is not None else Constant(torch.tensor(())) for each in (low, high)]
        return with_rank(net.call(limit, x, *given), rank_of(x))
    least, most = (None if bound is None else bound.reshape(()).item() for bound in bounds)
    if (least, most) == (0, 6):
        return net.module(nn.ReLU6(), node, x)
    if least == 0 and most is None:
        return net.module(nn.ReLU(), node, x)
    if least is None and most is None:
        return x
    if least is not None and most is not None:
        # The upper limit counts where the limits cross, as torch.clamp has it too.
        return with_rank(net.call(torch.clamp, x, least, most), rank_of(x))
    function = torch.clamp_max if least is None else torch.clamp_min
    return with_rank(net.call(function, x, most if least is None else least), rank_of(x))


def limit(x: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """`x` between computed limits; an empty one is not given."""
    if low.numel():
        x = torch.maximum(x, low)
    return torch.minimum(x, high) if high.numel() else x


def hard_sigmoid(net: Builder, node: OnnxNode) -> Value:
    """`HardSigmoid`; torch's has a slope of 1/6."""
    alpha, beta = node.attribute("alpha", 0.2), node.attribute("beta", 0.5)
    x = node.input(0)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return net.module(nn.Hardsigmoid(), node, x)
    return with_rank(net.call(ramp, x, alpha, beta), rank_of(x))


def ramp(x: torch.Tensor, alpha: float, beta: float) -> torch.Tensor:
    """`alpha * x + beta`, between 0 and 1."""
    return (x * alpha + beta).clamp(0, 1)


def prelu(net: Builder, node: OnnxNode) -> Value:
    """`PRelu`, with a slope per channel or of any shape that broadcasts."""
    x, slope = node.input(0), node.constant(1)
    shape = list(slope.tensor.shape)
    channels = slope.tensor.numel()
    of_channels = channels == 1 or (len(shape) + 1 == rank_of(x) and shape[0] == channels)
    if of_channels and channels > 0 and rank_of(x) > 1:
        layer = nn.PReLU(channels, device="meta")
        layer.weight = net.parameter(Constant(slope.tensor.reshape(-1), slope.name), "flat")
        return net.module(layer, node, x, slope.name)
    return with_rank(net.call(sloped, x, slope), rank_of(x))


def sloped(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """`x`, times the slope where it is negative."""
    return torch.where(x < 0, slope * x, x)


def gelu(net: Builder, node: OnnxNode) -> Value:
    """`Gelu`."""
    kind = node.text("approximate", "none", ("none", "tanh"))
    return net.module(nn.GELU(kind), node, node.input(0))


def softmax(net: Builder, node: OnnxNode) -> Value:
    """`Softmax`, `LogSoftmax` and `Hardmax`; before opset 13 over all axes from one on."""
    x = node.input(0)
    if node.opset < 13:
        axis = node.attribute("axis", 1)
        return with_rank(net.call(from_axis, node.operator, x, axis), rank_of(x))
    found = net.call(_SOFTMAX[node.operator], x, node.attribute("axis", -1))
    return with_rank(found, rank_of(x))


def from_axis(operator: str, x: torch.Tensor, axis: int) -> torch.Tensor:
    """What an operator gives over all axes from `axis` on as if they were one."""
    function = _SOFTMAX[operator]
    if axis % x.dim() == x.dim() - 1:
        return function(x, -1)
    flat = x.flatten(axis % x.dim())
    return function(flat, -1).reshape(x.shape)


def hardmax(x: torch.Tensor, axis: int) -> torch.Tensor:
    """1 at the first largest number along an axis, 0 elsewhere."""
    place = x.argmax(axis, keepdim=True)
    return torch.zeros_like(x).scatter(axis, place, 1.0)


def softmax_over(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Softmax over one axis."""
    return torch.softmax(x, axis)


def log_softmax_over(x: torch.Tensor, axis: int) -> torch.Tensor:
    """The logarithm of softmax over one axis."""
    return torch.log_softmax(x, axis)


_SOFTMAX = {"Softmax": softmax_over, "LogSoftmax": log_softmax_over, "Hardmax": hardmax}


def elu(x: torch.Tensor, alpha: float) -> torch.Tensor:
    """`Elu`."""
    return F.elu(x, alpha)


def celu(x: torch.Tensor, alpha: float) -> torch.Tensor:
    """`Celu`."""
    return F.celu(x, alpha)


def selu(x: torch.Tensor, alpha: float, gamma: float) -> torch.Tensor:
    """`Selu`."""
    return gamma * F.elu(x, alpha)


def thresholded(x: torch.Tensor, alpha: float) -> torch.Tensor:
    """`x` where it is above `alpha`, else 0."""
    return torch.where(x > alpha, x, torch.zeros_like(x))


def shrink(x: torch.Tensor, bias: float, lambd: float) -> torch.Tensor:
    """`Shrink`: nearer to 0 by `bias` outside `lambd`, 0 within."""
    found = torch.where(x > lambd, x - bias, torch.zeros_like(x))
    return torch.where(x < -lambd, x + bias, found)


def swish(x: torch.Tensor, alpha: float) -> torch.Tensor:
    """`x * sigmoid(alpha * x)`."""
    return F.silu(x) if alpha == 1 else x * torch.sigmoid(alpha * x)


def dropout(net: Builder, node: OnnxNode) -> Any:
    """`Dropout`: active in training, as torch's."""
    if node.optional(2) is not None and node.number(2):
        raise NotReadable("its training mode is on")
    ratio = node.number(1, node.attribute("ratio", 0.5))
    x = node.input(0)
    found = x if isinstance(x, Constant) else net.module(nn.Dropout(ratio), node, x)
    return (found, net.call(all_true, x))[: node.outputs] if node.outputs > 1 else found


def all_true(x: torch.Tensor) -> torch.Tensor:
    """True for each number: nothing is dropped."""
    return torch.ones_like(x, dtype=torch.bool)


ACTIVATIONS: dict[str, Handler] = {
    "Relu": _plain(lambda node: nn.ReLU()),
    "Sigmoid": _plain(lambda node: nn.Sigmoid()),
    "Tanh": _plain(lambda node: nn.Tanh()),
    "HardSwish": _plain(lambda node: nn.Hardswish()),
    "Mish": _plain(lambda node: nn.Mish()),
    "Softplus": _function(F.softplus),
    "Softsign": _plain(lambda node: nn.Softsign()),
    "LeakyRelu": _plain(lambda node: nn.LeakyReLU(node.attribute("alpha", 0.01))),
    "Elu": _function(elu, ("alpha", 1.0)),
    "Celu": _function(celu, ("alpha", 1.0)),
    "Selu": _function(selu, ("alpha", 1.67326319217681884765625), ("gamma", 1.05070102214813232)),
    "ThresholdedRelu": _function(thresholded, ("alpha", 1.0)),
    "Shrink": _function(shrink, ("bias", 0.0), ("lambd", 0.5)),
    "Swish": _function(swish, ("alpha", 1.0)),
    "Clip": clip,
    "HardSigmoid": hard_sigmoid,
    "PRelu": prelu,
    "Gelu": gelu,
    "Softmax": softmax,
    "LogSoftmax": softmax,
    "Hardmax": softmax,
    "Dropout": dropout,
}
