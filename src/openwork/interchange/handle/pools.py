"""Pools over windows, and over whole maps."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from openwork.interchange.builder import Builder, rank_of, with_rank
from openwork.interchange.handle.windows import WindowForm, padded, window
from openwork.interchange.onnx_node import OnnxNode
from openwork.interchange.values import NotReadable, Value

_MAX: list[Any] = [nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d]
_MEAN: list[Any] = [nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d]


def _form(node: OnnxNode) -> tuple[WindowForm, bool]:
    kernel = node.attribute("kernel_shape")
    if not kernel or min(kernel) < 1:
        raise NotReadable(f"`kernel_shape` is {kernel}")
    return window(node, kernel), bool(node.attribute("ceil_mode", 0))


def _fits(form: WindowForm) -> bool:
    """Whether torch pads so much; it pads half a window at most."""
    return form.symmetric and all(2 * p <= k for p, k in zip(form.before, form.kernel, strict=True))


def max_pool(net: Builder, node: OnnxNode) -> Value:
    """`MaxPool`."""
    node.needs_one_output()
    form, up = _form(node)
    x, padding = node.input(0), form.before
    if not _fits(form):
        if up:
            raise NotReadable("it rounds up with padding that torch does not have")
        x, padding = padded(net, x, form, -math.inf), (0,) * len(form.kernel)
    layer = _MAX[len(form.kernel) - 1](
        form.kernel, form.stride, padding, dilation=form.dilation, ceil_mode=up
    )
    return net.module(layer, node, x, rank=2 + len(form.kernel))


def average_pool(net: Builder, node: OnnxNode) -> Value:
    """`AveragePool`."""
    form, up = _form(node)
    counts = bool(node.attribute("count_include_pad", 0))
    x, axes = node.input(0), len(form.kernel)
    if _fits(form) and all(step == 1 for step in form.dilation):
        layer = _MEAN[axes - 1](form.kernel, form.stride, form.before, up, counts)
        return net.module(layer, node, x, rank=2 + axes)
    if form.same and up:
        up = False
    around = padded(net, x, form, 0.0)
    ones = net.call(torch.ones_like, x)
    weight = ones if counts is False else None
    inside = padded(net, ones, form, 0.0) if weight is not None else net.call(ones_like, around)
    return with_rank(
        net.call(
            mean_inside, around, inside, list(form.kernel), list(form.stride),
            list(form.dilation), up,
        ),
        2 + axes,
    )  # fmt: skip


def ones_like(x: torch.Tensor) -> torch.Tensor:
    """Ones in the shape of `x`."""
    return torch.ones_like(x)


def mean_inside(
    x: torch.Tensor,
    inside: torch.Tensor,
    kernel: list[int],
    stride: list[int],
    dilation: list[int],
    up: bool,
) -> torch.Tensor:
    """Means of windows over the places where `inside` is 1."""
    if up:
        widths: list[Any] = []
        sizes = x.shape[2:]
        for size, k, s, d in reversed(list(zip(sizes, kernel, stride, dilation, strict=True))):
            span = d * (k - 1) + 1
            more = -(-(size - span) // s)
            # A window that begins behind the end is left out.
            more = more - 1 if more * s >= size else more
            widths += [0, max(more * s + span - size, 0)]
        x, inside = F.pad(x, widths), F.pad(inside, widths)
    total, count = (_sums(each, kernel, stride, dilation) for each in (x, inside))
    return total / count


def _sums(
    x: torch.Tensor, kernel: list[int], stride: list[int], dilation: list[int]
) -> torch.Tensor:
    run: Any = [F.conv1d, F.conv2d, F.conv3d][len(kernel) - 1]
    channels = x.shape[1]
    weight = torch.ones(channels, 1, *kernel, dtype=x.dtype)
    return run(x, weight, None, stride, 0, dilation, channels)


def lp_pool(net: Builder, node: OnnxNode) -> Value:
    """`LpPool`."""
    form, up = _form(node)
    if up:
        raise NotReadable("`ceil_mode` is 1")
    around = padded(net, node.input(0), form, 0.0)
    settings = [list(form.kernel), list(form.stride), list(form.dilation)]
    found = net.call(lengths, around, *settings, node.attribute("p", 2))
    return with_rank(found, 2 + len(form.kernel))


def lengths(
    x: torch.Tensor, kernel: list[int], stride: list[int], dilation: list[int], p: int
) -> torch.Tensor:
    """The p-norm of each window."""
    return _sums(x.abs() ** p, kernel, stride, dilation) ** (1 / p)


def global_average(net: Builder, node: OnnxNode) -> Value:
    """`GlobalAveragePool`."""
    x = node.input(0)
    if rank_of(x) == 4:
        return net.module(nn.AdaptiveAvgPool2d(1), node, x)
    return with_rank(net.call(mean_of_map, x), rank_of(x))


def mean_of_map(x: torch.Tensor) -> torch.Tensor:
    """The mean over all spatial axes."""
    return x.mean(list(range(2, x.dim())), keepdim=True)


def global_max(net: Builder, node: OnnxNode) -> Value:
    """`GlobalMaxPool`."""
    return with_rank(net.call(largest_of_map, node.input(0)), rank_of(node.input(0)))


def largest_of_map(x: torch.Tensor) -> torch.Tensor:
    """The largest number over all spatial axes."""
    return x.amax(list(range(2, x.dim())), keepdim=True)


def global_lp(net: Builder, node: OnnxNode) -> Value:
    """`GlobalLpPool`."""
    p = node.attribute("p", 2)
    return with_rank(net.call(length_of_map, node.input(0), p), rank_of(node.input(0)))


def length_of_map(x: torch.Tensor, p: int) -> torch.Tensor:
    """The p-norm over all spatial axes."""
    return (x.abs() ** p).sum(list(range(2, x.dim())), keepdim=True) ** (1 / p)


POOLS = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "LpPool": lp_pool,
    "GlobalAveragePool": global_average,
    "GlobalMaxPool": global_max,
    "GlobalLpPool": global_lp,
}
