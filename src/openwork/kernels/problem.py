"""One layer to run: its live weights, its geometry, and what follows the convolution."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar, get_args

import numpy as np

__all__ = ["Activation", "Geometry", "Problem"]

_Packed = TypeVar("_Packed")

# The names of the extension's `Activation`; a test compares the two.
Activation = Literal["none", "relu", "relu6", "silu", "hardswish", "sigmoid", "hardsigmoid"]


@dataclass(frozen=True)
class Geometry:
    """Sizes of a convolution on one map; the batch stays free. Pairs are (vertical, horizontal)."""

    in_channels: int
    out_channels: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    @property
    def out_size(self) -> tuple[int, int]:
        """(height, width) of the output map, as torch computes it."""
        axes = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        y, x = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes)
        return y, x


@dataclass(frozen=True, eq=False)
class Problem:
    """A sparse convolution (a linear layer is a 1x1 convolution of a 1x1 map).

    Args:
        geometry: sizes.
        groups: groups of the convolution.
        positions: (live,) int64, flat places of the live taps in the dense weight
            `(out_channels, in_channels / groups, ky, kx)`, rising: `Pattern.positions`.
        weight: (live,) float32, in the same order.
        bias: (out_channels,) float32 or None.
        activation: applied last, after the residual is added.
        packs: what candidates packed that does not depend on their tile or on the map's size, by
            kernel. Problems of one layer at several sizes may share it.
    """

    geometry: Geometry
    groups: int
    positions: np.ndarray
    weight: np.ndarray
    bias: np.ndarray | None = None
    activation: Activation = "none"
    packs: dict[tuple[Any, ...], Any] = field(
        default_factory=dict[tuple[Any, ...], Any], repr=False
    )

    def __post_init__(self) -> None:
        g = self.geometry
        if self.groups < 1 or g.in_channels % self.groups or g.out_channels % self.groups:
            raise ValueError(
                f"`groups`={self.groups} must divide {g.in_channels} and {g.out_channels} channels"
            )
        if self.activation not in get_args(Activation):
            raise ValueError(
                f"`activation`={self.activation!r} must be one of {get_args(Activation)}"
            )
        if self.weight.dtype != np.float32 or self.weight.shape != self.positions.shape:
            raise ValueError(
                f"`weight` is {self.weight.dtype} of shape {self.weight.shape}, but must be "
                f"float32 of shape {self.positions.shape}"
            )
        every = g.out_channels * self.group_inputs * self.taps
        at = self.positions
        if at.size and (at[0] < 0 or at[-1] >= every or (np.diff(at) <= 0).any()):
            raise ValueError(f"`positions` must rise strictly within [0, {every})")

    @property
    def taps(self) -> int:
        """Taps of one kernel."""
        return self.geometry.kernel[0] * self.geometry.kernel[1]

    @property
    def group_inputs(self) -> int:
        """Input channels that one filter may read."""
        return self.geometry.in_channels // self.groups

    def packed(self, key: tuple[Any, ...], pack: Callable[[], _Packed]) -> _Packed:
        """What `pack` gives, packed once for each `key`."""
        if key not in self.packs:
            self.packs[key] = pack()
        return self.packs[key]

    def units(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(output, input among all channels, tap) of each live tap, int32."""
        return self._units

    @cached_property
    def _units(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # Asked for by every candidate.
        return live_units(self.geometry, self.groups, self.positions)

    def connections(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(output, input, kernels) of each live connection; kernels (n, taps), dead taps zero."""
        return self._connections

    @cached_property
    def _connections(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        out, inside, tap = self.units()
        first = first_taps(out, inside)
        kernels = np.zeros((int(first.sum()), self.taps), dtype=np.float32)
        kernels[np.cumsum(first) - 1, tap] = self.weight
        return out[first], inside[first], kernels

    def whole(self) -> bool:
        """Whether every live connection has all its taps."""
        return self.taps == 1 or len(self.connections()[0]) * self.taps == len(self.positions)

    def macs(self) -> int:
        """Multiply-adds of one image that the live taps need (borders counted as if inside)."""
        height, width = self.geometry.out_size
        return len(self.positions) * height * width


def live_units(
    geometry: Geometry, groups: int, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(output, input among all channels, tap) of the live taps at `positions`, int32."""
    # Quotients alone are computed with vector instructions, which divmod is not.
    taps = geometry.kernel[0] * geometry.kernel[1]
    group_inputs = geometry.in_channels // groups
    unit = positions // taps
    tap = (positions - unit * taps).astype(np.int32)
    out = unit // group_inputs
    inside = (unit - out * group_inputs).astype(np.int32)
    out = out.astype(np.int32)
    if groups > 1:
        inside += out // np.int32(geometry.out_channels // groups) * np.int32(group_inputs)
    return out, inside, tap


def several_channels(out: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The filters, in `out` sorted by output and input, that read more than one input channel."""
    return out[1:][(np.diff(inside) != 0) & (np.diff(out) == 0)]


def first_taps(out: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Whether each live tap, sorted by output and input, is the first of its connection."""
    first = np.ones(len(out), dtype=bool)
    first[1:] = (np.diff(out) != 0) | (np.diff(inside) != 0)
    return first
