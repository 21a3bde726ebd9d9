"""Scatter: how evenly connections spread over the neighbouring layer, before any training."""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from openwork._arguments import check_count
from openwork.errors import ArgumentError
from openwork.patterns.pattern import Pattern
from openwork.patterns.windows import Windows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CHUNK = 1 << 17  # numbers taken as float64 at once: 1 MB, which caches hold
_PRODUCT = 1 << 20  # larger, because every product wakes the threads of BLAS: 8 MB
_UNIT = 300  # deep networks have too many paths for floats, and count them in units of 2**300
_TINY, _HUGE = Fraction(1, 10**200), Fraction(10**200)  # where shares leave the range of floats


@dataclass(frozen=True, eq=False)
class WindowAdjacency:
    """How many connections (or paths) each neuron has from, or to, each window.

    Attributes:
        name: of the junction, and the side on which the windows lie.
        counts: `(neurons, windows)` float64; the window adjacency matrix. From some 2**300 paths
            on, these and `ideal` are in units of a power of two.
        ideal: connections of a neuron with a window if they were spread evenly.
        neurons: so many of the first neurons count; the others are padding.
    """

    name: str
    counts: np.ndarray
    ideal: float
    neurons: int

    @property
    def shares(self) -> np.ndarray:
        """`min(counts / ideal, 1)`: what is too much in one window makes up for no other."""
        return np.minimum(self.counts / self.ideal, 1)

    @property
    def scatter(self) -> float:
        """The mean share, over windows and neurons: in [0, 1], and 1 is evenly spread."""
        return float(self.shares[: self.neurons].mean())


@dataclass(frozen=True, eq=False)
class Scatter:
    """The scatter of a network: two entries for each junction and two for the whole network.

    Attributes:
        entries: left and right windows of junction 1, of junction 2, ..., of the whole network.
    """

    entries: tuple[WindowAdjacency, ...]

    @property
    def vector(self) -> tuple[float, ...]:
        """The scatter of each entry."""
        return tuple(entry.scatter for entry in self.entries)

    @property
    def minimum(self) -> float:
        """The single number: the least entry of the vector. Low values predict low accuracy."""
        return min(self.vector)

    def show(self) -> "Figure":
        """A picture: the window adjacency matrices, a row for each junction."""
        from openwork.patterns.picture import draw_scatter

        return draw_scatter(self)


def scatter(
    patterns: Sequence[Pattern],
    windows: Sequence[tuple[Windows | None, Windows | None]] | None = None,
    *,
    inputs: int | None = None,
    outputs: int | None = None,
) -> Scatter:
    """How evenly a chain of linear layers spreads its connections.

    Each neuron should have connections from, and to, all parts of the neighbouring layer. For left
    windows, entry (k, w) of the window adjacency matrix counts the connections of right neuron k
    from window w; evenly spread it would be `|w| * fan_out / right neurons`. For right windows it
    is the same with sides exchanged. The whole network counts as one more junction, with paths for
    connections and the products of the fans for fans.

    Args:
        patterns: of the junctions, from input to output, each (out, in). The patterns of
            convolutions count too, with channels for neurons.
        windows: a pair (on the left layer, on the right layer) for each junction, and one for the
            whole network; None in place of a pair's window, or for all (default), takes
            neighbouring vectors just long enough for an ideal of at least 1 connection.
        inputs: so many of the first inputs are real, the others padding; default all. Entries that
            judge inputs leave the padding out.
        outputs: likewise of the outputs.

    Raises:
        ArgumentError: no patterns, layers that do not follow each other, a wrong number of pairs,
            windows on more neurons than there are, or a pattern without connections.

    Source: "Characterizing Sparse Connectivity Patterns in Neural Networks" (Dey, Huang, Beerel,
    Chugg 2018), as its authors' code has it. Ours: where fans differ their mean is taken, the
    windows by default (for the paper's Morse network they are the paper's), and convolutions.
    """
    sizes = _check_chain(patterns)
    pairs = list(windows) if windows is not None else [(None, None)] * (len(patterns) + 1)
    if len(pairs) != len(patterns) + 1:
        raise ArgumentError(
            f"`windows` has {len(pairs)} pairs, but {len(patterns)} junctions need one each and "
            f"the whole network one more: {len(patterns) + 1}"
        )
    real = [_check_real("inputs", inputs, sizes[0]), *sizes[1:-1]]
    real.append(_check_real("outputs", outputs, sizes[-1]))
    matrices = [_adjacency(pattern) for pattern in patterns]
    densities = [Fraction(int(matrix.sum(dtype=np.int64)), matrix.size) for matrix in matrices]
    judged = [
        _judge(f"junction {number}", matrix, density, pair, real[number - 1 : number + 1])
        for number, (matrix, density, pair) in enumerate(
            zip(matrices, densities, pairs[:-1], strict=True), start=1
        )
    ]
    # The fan-out of the whole network is the product of the mean fan-outs.
    density = math.prod(densities, start=Fraction(math.prod(sizes[1:-1])))
    paths, units = _paths(matrices)
    ends = [real[0], real[-1]]
    judged.append(_judge("whole network", paths, density, pairs[-1], ends, units))
    return Scatter(tuple(entry for both in judged for entry in both))


def _judge(
    name: str,
    adjacency: np.ndarray,
    density: Fraction,
    pair: tuple[Windows | None, Windows | None],
    real: Sequence[int],
    units: int = 0,
) -> Iterator[WindowAdjacency]:
    """Both entries of a junction of mean entry `density`, given as its (right, left) matrix.

    The matrix is in units of 2**units.
    """
    for side, windows, matrix, neurons in (
        ("left", pair[0], adjacency, real[1]),
        ("right", pair[1], adjacency.T, real[0]),
    ):
        width = matrix.shape[1]
        if windows is None:
            least = min(width, math.ceil(1 / density))
            windows = Windows(width, least, least)
        if windows.span > width:
            raise ArgumentError(
                f"`windows` of {name}, {side}: a grid of {windows.shape} has {windows.span} neurons"
                f", but the layer has {width}"
            )
        step = max(1, _CHUNK // width)
        counts = [windows.sums(matrix[k : k + step]) for k in range(0, len(matrix), step)]
        ideal = windows.volume * float(min(max(density / 2**units, _TINY), _HUGE))
        yield WindowAdjacency(f"{name}, {side}", np.concatenate(counts), ideal, neurons)


def _adjacency(pattern: Pattern) -> np.ndarray:
    """Which output reads which input: (out_channels, in_channels) uint8."""
    matrix = np.zeros((pattern.out_channels, pattern.in_channels), dtype=np.uint8)
    out, inside = pattern.connections.T
    group = out // (pattern.out_channels // pattern.groups)
    matrix[out, group * pattern.shape[1] + inside] = 1
    return matrix


def _paths(matrices: Sequence[np.ndarray]) -> tuple[np.ndarray, int]:
    """The number of paths from each input to each output: (outputs, inputs) float64.

    From the output on, because networks mostly narrow towards it. The second result is the power
    of two in whose units they are.
    """
    paths, units = matrices[-1].astype(np.float64), 0
    for matrix in reversed(matrices[:-1]):
        step = max(1, _PRODUCT // matrix.shape[1])
        slices = [slice(k, k + step) for k in range(0, len(matrix), step)]
        parts = (paths[:, rows] @ matrix[rows].astype(np.float64) for rows in slices)
        paths = functools.reduce(np.add, parts)
        if paths.max() >= 2.0**_UNIT:
            # Exact: no digit of a float changes.
            paths, units = paths / 2.0**_UNIT, units + _UNIT
    return paths, units


def _check_chain(patterns: Sequence[Pattern]) -> list[int]:
    """The sizes of the layers, from input to output."""
    if not patterns:
        raise ArgumentError("`patterns` is empty; scatter needs at least one junction")
    sizes = [patterns[0].in_channels]
    for number, pattern in enumerate(patterns, start=1):
        if pattern.in_channels != sizes[-1]:
            raise ArgumentError(
                f"`patterns`: junction {number} reads {pattern.in_channels} neurons, but "
                f"{sizes[-1]} come before it; give the layers in order, without gaps"
            )
        if not pattern.live:
            raise ArgumentError(f"`patterns`: junction {number} has no connection at all")
        sizes.append(pattern.out_channels)
    return sizes


def _check_real(argument: str, value: int | None, neurons: int) -> int:
    if value is None:
        return neurons
    check_count(argument, value)
    if value > neurons:
        raise ArgumentError(f"`{argument}`={value} is more than the layer's {neurons} neurons")
    return value
