"""Transposed convolutions, as one convolution that gives the outputs of each phase as channels.

With stride s, every s-th output of a row is a convolution with stride 1 of the input, with every
s-th tap of the kernel. All phases read one window; taps that a phase does not have are dead, and
cost nothing on sparse kernels.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.fx import Node as FxNode

from openwork.capture.operators import NotUnderstood, convolution
from openwork.engine.lower.context import Lowering, map_size, pair
from openwork.engine.lower.places import Places
from openwork.runtime.node import Node
from openwork.runtime.nodes import Conv, Rearrange
from openwork.runtime.nodes.conv import live_positions
from openwork.runtime.values import Value


@dataclass(frozen=True)
class _Phases:
    """One axis of a transposed convolution.

    Attributes:
        size: outputs of each phase that the convolution gives.
        wanted: how many of them are used, from `crop` on.
        padding, taps: of the convolution.
        of: for each tap of the kernel, its phase and its tap of the convolution.
    """

    size: int
    wanted: int
    crop: int
    padding: int
    taps: int
    of: list[tuple[int, int]]


def _phases(
    inside: int, outside: int, kernel: int, stride: int, padding: int, dilation: int
) -> _Phases:
    # Output s * Q + phase reads input Q + place with tap k if place = (phase + p - k * d) / s.
    taps = [dilation * k - padding for k in range(kernel)]
    places = [-(tap // stride) for tap in taps]
    first, last = min(places), max(places)
    wanted = -(-outside // stride)
    crop = max(0, first, wanted - inside + first + last)
    size = inside + 2 * crop - first - last
    of = [(tap % stride, place - first) for tap, place in zip(taps, places, strict=True)]
    return _Phases(size, wanted, crop, crop - first, last - first + 1, of)


def _transposed(known: Lowering, fx: FxNode) -> Node | Value | list[Node]:
    record = convolution(fx)
    value, output = known.input(record.input), known.output(fx)
    weight = known.constant(record.weight)
    if weight is None or weight.dtype != np.float32:
        raise NotUnderstood("weight not float32")
    size, groups = map_size(value), record.groups
    stride, dilation, around = pair(record.stride), pair(record.dilation), pair(record.padding)
    y, x = (
        _phases(
            size[i], output.shape[1 + i], weight.shape[2 + i], stride[i], around[i], dilation[i]
        )
        for i in (0, 1)
    )
    phased = _weights(weight, groups, stride, y, x)
    positions = live_positions(phased)
    bias = known.constant(record.bias)
    phases = stride[0] * stride[1]
    wide = Value((phased.shape[0], y.size, x.size), f"{output.name}_phases")
    conv = Conv(
        [value],
        wide,
        known.layer_name(fx, record.weight),
        size,
        phased.shape,
        (1, 1),
        (y.padding, x.padding),
        (1, 1),
        groups,
        positions,
        phased.reshape(-1)[positions],
        None if bias is None else np.repeat(bias, phases),
    )
    places = Places.of(wide).part(1, y.crop, y.wanted).part(2, x.crop, x.wanted)
    places = places.split(0, output.shape[0], *stride).ordered([0, 3, 1, 4, 2])
    if wide.shape == output.shape and places.are_all:
        return replace(conv, output=output)
    whole = output.shape[0], y.wanted * stride[0], x.wanted * stride[1]
    if whole == output.shape:
        return [conv, _copy(places, output)]
    # Of the last phases fewer outputs are wanted than of the first.
    joined = Value(whole, f"{output.name}_whole")
    inside = Places.of(joined).part(1, 0, output.shape[1]).part(2, 0, output.shape[2])
    return [conv, _copy(places, joined), _copy(inside, output)]


def _copy(places: Places, output: Value) -> Node:
    return Rearrange([places.source], output, places.first, places.sizes, places.steps)


def _weights(
    weight: np.ndarray, groups: int, stride: tuple[int, int], y: _Phases, x: _Phases
) -> np.ndarray:
    """`(out_channels * phases, in_channels / groups, taps, taps)` of `(in, out / groups, ...)`."""
    inside, outside, *_ = weight.shape
    grouped = weight.reshape(groups, inside // groups, outside, *weight.shape[2:])
    shape = groups, outside, *stride, inside // groups, y.taps, x.taps
    phased = np.zeros(shape, np.float32)
    for row, (phase_y, tap_y) in enumerate(y.of):
        for column, (phase_x, tap_x) in enumerate(x.of):
            kernel = grouped[..., row, column].swapaxes(1, 2)
            phased[:, :, phase_y, phase_x, :, tap_y, tap_x] = kernel
    return phased.reshape(-1, *shape[4:])


TRANSPOSED: dict[Any, Callable[[Lowering, FxNode], Node | Value | list[Node]]] = {
    torch.ops.aten.conv_transpose2d.input: _transposed,
}
