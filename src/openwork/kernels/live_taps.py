"""The live taps of a convolution without their weights, and those of its input's gradient."""

from dataclasses import dataclass, replace
from math import gcd

import numpy as np

from openwork.kernels.problem import Geometry, first_taps, live_units

__all__ = ["LiveTaps", "live_taps"]


@dataclass(frozen=True, eq=False)
class LiveTaps:
    """Which taps of a convolution are live.

    Args:
        geometry: sizes.
        out, inside, tap: (live,) int64 output channel, input channel among all, and
            `ky * kernel_x + kx` of each tap, sorted in that order.
        place: (live,) int64, the tap's weight among those of a call.
        weights: how many weights a call brings; those of other phases are among them.
    """

    geometry: Geometry
    out: np.ndarray
    inside: np.ndarray
    tap: np.ndarray
    place: np.ndarray
    weights: int

    @property
    def taps(self) -> int:
        """Taps of one kernel."""
        return self.geometry.kernel[0] * self.geometry.kernel[1]

    def connections(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(output, input, places) of each live connection; places (n, taps) int32, -1 if dead."""
        first = first_taps(self.out, self.inside)
        places = np.full((int(first.sum()), self.taps), -1, dtype=np.int32)
        places[np.cumsum(first) - 1, self.tap] = self.place
        return self.out[first], self.inside[first], places


def live_taps(geometry: Geometry, groups: int, positions: np.ndarray) -> LiveTaps:
    """The live taps of a layer.

    Args:
        geometry: sizes.
        groups: groups of the convolution.
        positions: (live,) int64, flat places in the dense weight
            `(out_channels, in_channels / groups, ky, kx)`, rising: `Pattern.positions`.
    """
    units = live_units(geometry, groups, positions)
    return LiveTaps(geometry, *units, np.arange(len(positions)), len(positions))


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
    ky, kx = np.divmod(layer.tap, g.kernel[1])
    jy, ry = np.divmod(ky - row.first, row.step)
    jx, rx = np.divmod(kx - column.first, column.step)
    mine = (ry == 0) & (rx == 0) & (jy >= 0) & (jx >= 0)
    # Taps in reverse: the first reads the furthest output.
    tap = (row.taps - 1 - jy) * column.taps + column.taps - 1 - jx
    out, inside, tap, place = (array[mine] for array in (layer.inside, layer.out, tap, layer.place))
    if not out.size:
        return Phase(None)
    order = np.lexsort((tap, inside, out))
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
    taps = LiveTaps(geometry, out[order], inside[order], tap[order], place[order], layer.weights)
    return Phase(taps, row.start, column.start)
