"""The live taps of a convolution without their weights, and those of its input's gradient."""

from dataclasses import dataclass, replace
from math import gcd

import numpy as np

from openwork.kernels.problem import Geometry, first_taps, live_units

__all__ = ["LiveTaps", "live_kernels", "live_taps"]


@dataclass(frozen=True, eq=False)
class LiveTaps:
    """Which taps of a convolution are live: single ones, or all those of whole kernels.

    Args:
        geometry: sizes.
        out, inside: (units,) int32 output channel and input channel among all, of each live kernel
            if they are whole, else of each live tap.
        tap: (units,) int32, `ky * kernel_x + kx` of each tap; None if kernels are whole. Units are
            sorted by `out`, `inside` and this.
        place: (units,) int32, where a call's weights have that tap or the kernel.
        step: (taps,) int32, from a kernel's place to that of each tap; [0] for single taps.
        weights: how many weights a call brings; those of other phases are among them.
    """

    geometry: Geometry
    out: np.ndarray
    inside: np.ndarray
    tap: np.ndarray | None
    place: np.ndarray
    step: np.ndarray
    weights: int

    @property
    def taps(self) -> int:
        """Taps of one kernel."""
        return self.geometry.kernel[0] * self.geometry.kernel[1]

    @property
    def live(self) -> int:
        """Live taps."""
        return len(self.out) * len(self.step)

    def kernels(self) -> int:
        """Kernels with a live tap."""
        if self.tap is None:
            return len(self.out)
        return int(first_taps(self.out, self.inside).sum())

    def single(self) -> "LiveTaps":
        """The same, tap by tap."""
        if self.tap is not None:
            return self
        taps = self.taps
        out, inside = np.repeat(self.out, taps), np.repeat(self.inside, taps)
        tap = np.tile(np.arange(taps, dtype=np.int32), len(self.out))
        place = (self.place[:, None] + self.step).reshape(-1)
        return replace(self, out=out, inside=inside, tap=tap, place=place, step=_NO_STEP)

    def connections(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(output, input, places) of each live connection; places (n, taps) int32, -1 if dead."""
        if self.tap is None:
            return self.out, self.inside, self.place[:, None] + self.step
        first = first_taps(self.out, self.inside)
        places = np.full((int(first.sum()), self.taps), -1, dtype=np.int32)
        places[np.cumsum(first) - 1, self.tap] = self.place
        return self.out[first], self.inside[first], places


_NO_STEP = np.zeros(1, np.int32)


def live_taps(geometry: Geometry, groups: int, positions: np.ndarray) -> LiveTaps:
    """The live taps of a layer.

    Args:
        geometry: sizes.
        groups: groups of the convolution.
        positions: (live,) int64, flat places in the dense weight
            `(out_channels, in_channels / groups, ky, kx)`, rising: `Pattern.positions`.
    """
    taps = geometry.kernel[0] * geometry.kernel[1]
    if len(positions) % taps == 0:
        kernels = positions.reshape(-1, taps)
        # Positions rise: those of a whole kernel end where they must.
        first = kernels[:, 0]
        if (first % taps == 0).all() and (kernels[:, -1] == first + taps - 1).all():
            return live_kernels(geometry, groups, first // taps)
    out, inside, tap = live_units(geometry, groups, positions)
    return LiveTaps(geometry, out, inside, tap, _numbers(len(positions)), _NO_STEP, len(positions))


def live_kernels(geometry: Geometry, groups: int, connections: np.ndarray) -> LiveTaps:
    """The live taps of a layer whose live kernels are whole.

    Args:
        geometry: sizes.
        groups: groups of the convolution.
        connections: (live,) int64, flat places in `(out_channels, in_channels / groups)`, rising.
    """
    taps = geometry.kernel[0] * geometry.kernel[1]
    out, inside, _ = live_units(replace(geometry, kernel=(1, 1)), groups, connections)
    place = _numbers(len(connections)) * taps
    return LiveTaps(geometry, out, inside, None, place, _numbers(taps), len(connections) * taps)


def _numbers(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int32)


@dataclass(frozen=True, eq=False)
class Phase:
    """Every stride-th row and column of an input's gradient, as a convolution with stride 1.

    Args:
        taps: the convolution, from the output's gradient; None where no live tap reads the phase.
        top, left: row and column of its result that hold the phase's first pixel.
    """

    taps: LiveTaps | None
    top: int = 0
    left: int = 0


def input_gradient(layer: LiveTaps) -> list[Phase]:
    """The phases of the gradient of a layer's input, `stride_y * stride_x` of them, row by row."""
    g = layer.geometry
    rows = [_axis(layer, 0, phase) for phase in range(g.stride[0])]
    columns = [_axis(layer, 1, phase) for phase in range(g.stride[1])]
    return [_phase(layer, row, column) for row in rows for column in columns]


@dataclass(frozen=True)
class _Axis:
    """One phase along one axis: taps `first`, `first + step`, ... as a convolution."""

    first: int
    step: int
    taps: int
    dilation: int
    padding: int
    start: int


def _axis(layer: LiveTaps, axis: int, phase: int) -> _Axis | None:
    g = layer.geometry
    stride, dilation, padding = g.stride[axis], g.dilation[axis], g.padding[axis]
    kernel, size, out = g.kernel[axis], g.size[axis], g.out_size[axis]
    fits = [k for k in range(kernel) if (phase + padding - k * dilation) % stride == 0]
    if not fits or phase >= size:
        return None
    step = stride // gcd(stride, dilation)
    spread = step * dilation // stride
    # Pixel r of the phase reads outputs `reach + r - j * spread` for the j-th of these taps.
    reach = (phase + padding - fits[0] * dilation) // stride
    rows = -(-(size - phase) // stride)
    span = spread * (len(fits) - 1)
    pad = max(0, span - reach, rows + reach - out)
    return _Axis(fits[0], step, len(fits), spread, pad, reach - span + pad)


def _phase(layer: LiveTaps, row: _Axis | None, column: _Axis | None) -> Phase:
    if row is None or column is None:
        return Phase(None)
    g = layer.geometry
    geometry = replace(
        g,
        in_channels=g.out_channels,
        out_channels=g.in_channels,
        size=g.out_size,
        kernel=(row.taps, column.taps),
        stride=(1, 1),
        padding=(row.padding, column.padding),
        dilation=(row.dilation, column.dilation),
    )
    number = _numbers_in_phase(g, row, column)
    if layer.tap is None:
        order = _sorted_by(g, layer.inside, layer.out)
        mine = np.flatnonzero(number >= 0)
        step = np.empty(len(mine), np.int32)
        step[number[mine]] = layer.step[mine]
        out, inside, place = layer.inside[order], layer.out[order], layer.place[order]
        if len(step) == 1:
            place, step = place + step, _NO_STEP
        taps = LiveTaps(geometry, out, inside, None, place, step, layer.weights)
        return Phase(taps, row.start, column.start)
    tap = number[layer.tap]
    mine = np.flatnonzero(tap >= 0)
    if not mine.size:
        return Phase(None)
    tap = tap[mine]
    order = _sorted_by(g, layer.inside[mine], layer.out[mine], tap)
    some = mine[order]
    units = layer.inside[some], layer.out[some], tap[order], layer.place[some]
    return Phase(LiveTaps(geometry, *units, _NO_STEP, layer.weights), row.start, column.start)


def _numbers_in_phase(g: Geometry, row: _Axis, column: _Axis) -> np.ndarray:
    """(taps,) int32: the number of each of the layer's taps among those of a phase, -1 if none."""
    ky, kx = np.divmod(np.arange(g.kernel[0] * g.kernel[1]), g.kernel[1])
    jy, ry = np.divmod(ky - row.first, row.step)
    jx, rx = np.divmod(kx - column.first, column.step)
    mine = (ry == 0) & (rx == 0) & (jy >= 0) & (jx >= 0)
    # Taps in reverse: the first reads the furthest output.
    tap = (row.taps - 1 - jy) * column.taps + column.taps - 1 - jx
    return np.where(mine, tap, -1).astype(np.int32)


def _sorted_by(
    g: Geometry, inside: np.ndarray, out: np.ndarray, tap: np.ndarray | int = 0
) -> np.ndarray:
    """The order that sorts units by input, output and tap."""
    taps = g.kernel[0] * g.kernel[1]
    return np.argsort((inside * np.int64(g.out_channels) + out) * taps + tap)
