"""Normalisations."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from openwork.interchange.builder import Builder, rank_of, with_rank
from openwork.interchange.onnx_node import OnnxNode
from openwork.interchange.values import Constant, NotReadable, Value

_BATCH: dict[int, Any] = {
    2: nn.BatchNorm1d,
    3: nn.BatchNorm1d,
    4: nn.BatchNorm2d,
    5: nn.BatchNorm3d,
}


def batch_norm(net: Builder, node: OnnxNode) -> Value:
    """`BatchNormalization`, with the running statistics."""
    if node.attribute("training_mode", 0) or node.outputs > 1:
        raise NotReadable("it takes the statistics of the batch, as in training")
    weight, bias, mean, variance = (node.constant(index) for index in (1, 2, 3, 4))
    channels = weight.tensor.numel()
    if any(each.tensor.shape != (channels,) for each in (weight, bias, mean, variance)):
        raise NotReadable("its weight, bias, mean and variance differ in shape")
    x = node.input(0)
    eps = node.attribute("epsilon", 1e-5)
    kind = _BATCH.get(rank_of(x))
    if kind is None:
        # torch's modules check the number of axes, which is not known here.
        given = [mean, variance, weight, bias]
        return with_rank(net.call(normalise, x, given, eps), rank_of(x))
    layer = kind(channels, eps=eps, momentum=1 - node.attribute("momentum", 0.9), device="meta")
    layer.weight, layer.bias = net.parameter(weight), net.parameter(bias)
    layer.running_mean, layer.running_var = mean.tensor, variance.tensor
    layer.num_batches_tracked = torch.tensor(0)
    return net.module(layer, node, x, weight.name)


def normalise(x: torch.Tensor, held: list[torch.Tensor], eps: float) -> torch.Tensor:
    """Batch norm of any number of axes with mean, variance, weight and bias."""
    return F.batch_norm(x, held[0], held[1], held[2], held[3], False, 0.0, eps)


def instance_norm(net: Builder, node: OnnxNode) -> Value:
    """`InstanceNormalization`."""
    given = [node.input(1), node.input(2)]
    eps = node.attribute("epsilon", 1e-5)
    return with_rank(net.call(norm_of_groups, node.input(0), given, 0, eps), rank_of(node.input(0)))


def group_norm(net: Builder, node: OnnxNode) -> Value:
    """`GroupNormalization`; before opset 21 with one scale per group."""
    groups = node.attribute("num_groups")
    x, scale, bias = node.input(0), node.input(1), node.input(2)
    if node.opset < 21:
        channels = net.size(x, 1)
        scale, bias = (net.call(per_channel, each, channels) for each in (scale, bias))
    eps = node.attribute("epsilon", 1e-5)
    if isinstance(scale, Constant) and isinstance(bias, Constant):
        layer = nn.GroupNorm(groups, scale.tensor.numel(), eps=eps, device="meta")
        layer.weight, layer.bias = net.parameter(scale), net.parameter(bias)
        return net.module(layer, node, x, scale.name)
    return with_rank(net.call(norm_of_groups, x, [scale, bias], groups, eps), rank_of(x))


def per_channel(values: torch.Tensor, channels: int) -> torch.Tensor:
    """One number per group, repeated for each channel of the group."""
    return values.repeat_interleave(channels // values.shape[0])


def norm_of_groups(
    x: torch.Tensor, held: list[torch.Tensor], groups: int, eps: float
) -> torch.Tensor:
    """Each group of channels with mean 0 and variance 1; 0 groups are one per channel."""
    return F.group_norm(x, groups or x.shape[1], held[0], held[1], eps)


def layer_norm(net: Builder, node: OnnxNode) -> Value:
    """`LayerNormalization` and `RMSNormalization`, over the axes from one on."""
    node.needs_one_output()
    axis = node.attribute("axis", -1)
    eps = node.attribute("epsilon", 1e-5)
    x, scale, bias = node.input(0), node.input(1), node.optional(2)
    if node.operator == "RMSNormalization":
        return with_rank(net.call(root_mean_square, x, scale, axis, eps), rank_of(x))
    known = isinstance(scale, Constant) and scale.tensor.dim() == -axis
    if known and isinstance(scale, Constant) and (bias is None or isinstance(bias, Constant)):
        shape = list(scale.tensor.shape)
        layer = nn.LayerNorm(shape, eps=eps, bias=bias is not None, device="meta")
        layer.weight = net.parameter(scale)
        if isinstance(bias, Constant):
            layer.bias = net.parameter(bias)
        return net.module(layer, node, x, scale.name)
    given = [scale] if bias is None else [scale, bias]
    return with_rank(net.call(norm_from, x, given, axis, eps), rank_of(x))


def norm_from(x: torch.Tensor, held: list[torch.Tensor], axis: int, eps: float) -> torch.Tensor:
    """Mean 0 and variance 1 over the axes from `axis` on, times a scale, and perhaps a bias."""
    shape = list(x.shape[axis % x.dim() :])
    found = F.layer_norm(x, shape, None, None, eps) * held[0]
    return found + held[1] if len(held) > 1 else found


def root_mean_square(x: torch.Tensor, scale: torch.Tensor, axis: int, eps: float) -> torch.Tensor:
    """`x` over the root of its mean square, over the axes from `axis` on."""
    axes = list(range(axis % x.dim(), x.dim()))
    return x * torch.rsqrt(x.square().mean(axes, keepdim=True) + eps) * scale


def local_response(net: Builder, node: OnnxNode) -> Value:
    """`LRN`."""
    size = node.attribute("size")
    numbers = [node.attribute(name, default) for name, default in _LRN]
    x = node.input(0)
    return with_rank(net.call(over_neighbours, x, size, *numbers), rank_of(x))


_LRN = (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))


def over_neighbours(
    x: torch.Tensor, size: int, alpha: float, beta: float, bias: float
) -> torch.Tensor:
    """Local response normalisation; of an even size, the window reaches further to the right."""
    squares = x.square().flatten(2).unsqueeze(1)
    before = (size - 1) // 2
    padded = F.pad(squares, (0, 0, before, size - 1 - before))
    mean = F.avg_pool2d(padded, (size, 1), stride=1).squeeze(1).reshape(x.shape)
    return x / (bias + alpha * mean) ** beta


def lp_norm(net: Builder, node: OnnxNode) -> Value:
    """`LpNormalization`."""
    p, axis = node.attribute("p", 2), node.attribute("axis", -1)
    return with_rank(net.call(over_length, node.input(0), p, axis), rank_of(node.input(0)))


def over_length(x: torch.Tensor, p: int, axis: int) -> torch.Tensor:
    """`x` over its length along an axis; what has no length stays 0."""
    length = x.abs().sum(axis, keepdim=True) if p == 1 else x.norm(2, axis, keepdim=True)
    return torch.where(length == 0, torch.zeros_like(x), x / length)


def mean_variance(net: Builder, node: OnnxNode) -> Value:
    """`MeanVarianceNormalization`."""
    axes = list(node.attribute("axes", [0, 2, 3]))
    return with_rank(net.call(standardise, node.input(0), axes), rank_of(node.input(0)))


def standardise(x: torch.Tensor, axes: list[int]) -> torch.Tensor:
    """Mean 0 and variance 1 over `axes`."""
    centred = x - x.mean(axes, keepdim=True)
    return centred / (centred.square().mean(axes, keepdim=True).sqrt() + 1e-9)


NORMS = {
    "BatchNormalization": batch_norm,
    "InstanceNormalization": instance_norm,
    "GroupNormalization": group_norm,
    "LayerNormalization": layer_norm,
    "RMSNormalization": layer_norm,
    "LRN": local_response,
    "LpNormalization": lp_norm,
    "MeanVarianceNormalization": mean_variance,
}
