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

_CHUNK = 1 << 17  # values converted to float64 at a time: 1 MB, which fits into caches
_PRODUCT = 1 << 20  # larger (8 MB), because each product has the cost of waking BLAS's threads
_UNIT = 300  # path counts of deep networks overflow floats and are kept in units of 2**300
_TINY, _HUGE = Fraction(1, 10**200), Fraction(10**200)  # keeps shares within the range of floats


@dataclass(frozen=True, eq=False)
class WindowAdjacency:
    """How many connections (or paths) each neuron has from, or to, each window.

    Attributes:
        name: the junction, and the side on which the windows lie.
        counts: `(layer neurons, windows)` float64, the window adjacency matrix. Beyond about 2**300
            paths, `counts` and `ideal` are in units of a power of two.
        ideal: connections between a neuron and a window under an even spread.
        neurons: only the first `neurons` rows count; the others are padding.
    """

    name: str
    counts: np.ndarray
    ideal: float
    neurons: int

    @property
    def shares(self) -> np.ndarray:
        """`min(counts / ideal, 1)`, shape of `counts`: one window's excess does not offset another.

        Shares lie in [0, 1].
        """
        return np.minimum(self.counts / self.ideal, 1)

    @property
    def scatter(self) -> float:
        """The mean share over windows and neurons, in [0, 1]; 1 is an even spread."""
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
        """The scatter of each entry, 2 * (junctions + 1) numbers in [0, 1]."""
        return tuple(entry.scatter for entry in self.entries)

    @property
    def minimum(self) -> float:
        """Scatter as a single number: the smallest entry. Low values predict low accuracy."""
        return min(self.vector)

    def show(self) -> "Figure":
        """Draw the window adjacency matrices, one row per junction."""
        from openwork.patterns.picture import draw_windows

        return draw_windows(
            [(f"{each.name} windows: {each.scatter:.3f}", each.shares) for each in self.entries],
            "share of the connections that even spread would give",
            f"scatter {self.minimum:.3f}: the least of {len(self.entries)} entries",
        )


def scatter(
    patterns: Sequence[Pattern],
    windows: Sequence[tuple[Windows | None, Windows | None]] | None = None,
    *,
    inputs: int | None = None,
    outputs: int | None = None,
) -> Scatter:
    """How evenly a chain of linear layers spreads its connections.

    Each neuron should have connections from, and to, all parts of the neighbouring layer. For left
    windows, entry (k, w) of the window adjacency matrix counts the connections from window w to
    right neuron k; an even spread would give `|w| * fan_out / right neurons`. For right windows the
    sides are exchanged. The whole network is one more junction, with paths in place of connections
    and products of fans in place of fans.

    Args:
        patterns: the patterns of the junctions from input to output, each `(out, in)`. Patterns of
            convolutions are accepted, with channels as neurons.
        windows: a pair (on the left layer, on the right layer) per junction, and one for the whole
            network. None for a window, or for all (default), uses contiguous blocks just long
            enough for an ideal of at least 1 connection.
        inputs: number of real inputs, default all; inputs after them are padding. Entries that
            judge input neurons ignore the padding.
        outputs: the same for outputs.

    Returns:
        Two entries per junction and two for the whole network.

    Raises:
        ArgumentError: no patterns, layers that do not follow each other, a wrong number of pairs,
            windows on more neurons than the layer has, or a pattern without connections.

    Source: "Characterizing Sparse Connectivity Patterns in Neural Networks" (Dey, Huang, Beerel,
    Chugg 2018), following its authors' code. Ours: mean fans where fans differ, the default windows
    (for the paper's Morse network they are the paper's), and convolutions.

    >>> scatter([Pattern(np.ones((8, 8), dtype=bool))]).vector
    (1.0, 1.0, 1.0, 1.0)
    >>> scatter([Pattern(np.eye(8, dtype=bool).repeat(2, axis=0))]).minimum < 1
    True
    """
    sizes = _check_chain(patterns)
    pairs = list(windows) if windows is not None else [(None, None)] * (len(patterns) + 1)
    if len(pairs) != len(patterns) + 1:
        raise ArgumentError(
            f"`windows` has {len(pairs)} pairs, but must have {len(patterns) + 1}: one for each of "
            f"the {len(patterns)} junctions and one for the whole network"
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
    """Both entries of a junction: its `(right, left)` adjacency matrix, of mean `density`.

    The matrix is in units of 2**units, `density` is not.
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
    """The adjacency matrix `(out_channels, in_channels)` uint8: 1 where a connection is live."""
    matrix = np.zeros((pattern.out_channels, pattern.in_channels), dtype=np.uint8)
    out, inside = pattern.connections.T
    group = out // (pattern.out_channels // pattern.groups)
    matrix[out, group * pattern.shape[1] + inside] = 1
    return matrix


def _paths(matrices: Sequence[np.ndarray]) -> tuple[np.ndarray, int]:
    """The number of paths from each input to each output: (outputs, inputs) float64.

    Multiplied from the output back, because networks mostly narrow towards it. The second result
    is the exponent of the power of two that the counts are in units of.
    """
    paths, units = matrices[-1].astype(np.float64), 0
    for matrix in reversed(matrices[:-1]):
        step = max(1, _PRODUCT // matrix.shape[1])
        slices = [slice(k, k + step) for k in range(0, len(matrix), step)]
        parts = (paths[:, rows] @ matrix[rows].astype(np.float64) for rows in slices)
        paths = functools.reduce(np.add, parts)
        if paths.max() >= 2.0**_UNIT:
            # Exact: only the exponent changes.
            paths, units = paths / 2.0**_UNIT, units + _UNIT
    return paths, units


def _check_chain(patterns: Sequence[Pattern]) -> list[int]:
    """The layer sizes from input to output."""
    if not patterns:
        raise ArgumentError("`patterns` is empty; scatter needs at least one junction")
    sizes = [patterns[0].in_channels]
    for number, pattern in enumerate(patterns, start=1):
        if pattern.in_channels != sizes[-1]:
            raise ArgumentError(
                f"`patterns`: junction {number} reads {pattern.in_channels} neurons, but "
                f"{sizes[-1]} come before it; pass consecutive layers in order"
            )
        if not pattern.live:
            raise ArgumentError(f"`patterns`: junction {number} has no connection; it needs one")
        sizes.append(pattern.out_channels)
    return sizes


def _check_real(argument: str, value: int | None, neurons: int) -> int:
    if value is None:
        return neurons
    check_count(argument, value)
    if value > neurons:
        raise ArgumentError(f"`{argument}`={value} must be at most the layer's {neurons} neurons")
    return value
