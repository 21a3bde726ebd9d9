"""Operators between float32 and 8-bit numbers; weights stay 8 bits wide."""

from typing import Any

import torch
import torch.nn.functional as F

from openwork.capture.qdq import DEQUANTIZE, DEQUANTIZE_CHANNELS, QUANTIZE, QUANTIZE_CHANNELS
from openwork.interchange.builder import Builder, rank_of, with_rank
from openwork.interchange.onnx_node import OnnxNode, dtype_named
from openwork.interchange.values import Constant, NotReadable, Value

_NARROW = (torch.uint8, torch.int8, torch.int16)
# (scale, zero point) as numbers, or of each channel, and the axis of channels; then the bounds.
Form = tuple[Any, Any, int, int, int]


def quantize_linear(net: Builder, node: OnnxNode) -> Value:
    """`QuantizeLinear`."""
    x = node.input(0)
    dtype = _zero(node).dtype if node.optional(2) is not None else _stated(node)
    if dtype not in _NARROW:
        raise NotReadable(f"it gives {dtype}")
    return with_rank(net.call(quantized, x, *_form(net, node, x, dtype), dtype), rank_of(x))


def dequantize_linear(net: Builder, node: OnnxNode) -> Value:
    """`DequantizeLinear`: weights are not computed now, but stay as the file has them."""
    x = node.input(0)
    if isinstance(x, Constant) and (x.tensor.dim() < 2 or x.tensor.dtype not in _NARROW):
        return _folded(node, x.tensor)
    dtype = x.tensor.dtype if isinstance(x, Constant) else _zero(node).dtype
    if dtype not in _NARROW:
        raise NotReadable(f"it reads {dtype}")
    form = _form(net, node, x, dtype)
    source = net.buffer(x) if isinstance(x, Constant) else x
    found = with_rank(net.call(dequantized, source, *form, dtype), rank_of(x))
    if isinstance(x, Constant):
        found.meta["shape"] = tuple(x.tensor.shape)
    return found


def quantized(
    x: torch.Tensor, scale: Any, zero: Any, axis: int, low: int, high: int, dtype: torch.dtype
) -> torch.Tensor:
    """`x` in steps of `scale` from `zero`, of each channel where they are tensors."""
    if isinstance(scale, torch.Tensor):
        return QUANTIZE_CHANNELS(x, scale, zero, axis, low, high, dtype)
    return QUANTIZE(x, scale, zero, low, high, dtype)


def dequantized(
    x: torch.Tensor, scale: Any, zero: Any, axis: int, low: int, high: int, dtype: torch.dtype
) -> torch.Tensor:
    """The inverse of `quantized`."""
    if isinstance(scale, torch.Tensor):
        return DEQUANTIZE_CHANNELS(x, scale, zero, axis, low, high, dtype)
    return DEQUANTIZE(x, scale, zero, low, high, dtype)


def linear(
    x: torch.Tensor, weight: torch.Tensor, bias: list[torch.Tensor], transposed: bool
) -> torch.Tensor:
    """A linear layer with a weight of 8 bits."""
    return F.linear(x, weight if transposed else weight.t(), *bias)


def is_weight(value: Value | None) -> bool:
    """Whether `value` is a weight of 8 bits, dequantised."""
    return value is not None and "shape" in getattr(value, "meta", {})


def _form(net: Builder, node: OnnxNode, x: Value, dtype: torch.dtype) -> Form:
    scale, zero = node.constant(1).tensor, _zero(node)
    limits = torch.iinfo(dtype)
    if node.attribute("block_size", 0) or scale.dim() > 1 or scale.dtype != torch.float32:
        raise NotReadable("its scales must be float32, one for all or one for each channel")
    if zero.numel() not in (1, scale.numel()):
        raise NotReadable(f"it has {zero.numel()} zero points and {scale.numel()} scales")
    axis = node.attribute("axis", 1)
    if scale.numel() == 1:
        return float(scale), int(zero), 0, limits.min, limits.max
    zeros = Constant(zero.to(torch.int64).expand(scale.shape).contiguous())
    computed = isinstance(x, Constant) and node.operator == "QuantizeLinear"
    held = [each if computed else net.buffer(each) for each in (node.constant(1), zeros)]
    return held[0], held[1], axis % max(rank_of(x), 1), limits.min, limits.max


def _folded(node: OnnxNode, x: torch.Tensor) -> Constant:
    """A bias, whose numbers are of 32 bits, or vectors: float32 from now on."""
    scale, zero = node.constant(1).tensor, _zero(node)
    if scale.dim() > 1 or node.attribute("block_size", 0):
        raise NotReadable("its scales must be one for all or one for each channel")
    if scale.numel() > 1:
        shape = [1] * x.dim()
        shape[node.attribute("axis", 1) if x.dim() > 1 else 0] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape if zero.numel() > 1 else [1])
    return Constant(((x.double() - zero.double()) * scale.double()).float().reshape(x.shape))


def _zero(node: OnnxNode) -> torch.Tensor:
    """The zero points: without them 0, of the type of the numbers."""
    if node.optional(2) is not None:
        return node.constant(2).tensor
    x = node.input(0)
    narrow = isinstance(x, Constant) and node.operator == "DequantizeLinear"
    dtype = x.tensor.dtype if isinstance(x, Constant) and narrow else torch.uint8
    return torch.zeros((), dtype=dtype)


def _stated(node: OnnxNode) -> torch.dtype:
    return dtype_named(node.attribute("output_dtype", 0) or 2)


QUANTISED = {"QuantizeLinear": quantize_linear, "DequantizeLinear": dequantize_linear}
