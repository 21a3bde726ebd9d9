"""Convolutions of bytes, packed: int8 weights over uint8 maps.

A layer computes `y = float(sum + offset) * scale + bias`, where `sum` is the exact integer sum of
weights times bytes and `offset = -zero * sum of the filter's weights`; adds
`float(residual - residual zero) * residual scale`; and writes `clamp(round(y) + zero, least, most)`
with halves rounded to even, or `y` itself. All float32, each operation rounded.

The packed arrays, as `csrc/bytes.h` describes them: columns (a channel at a tap), groups that list
columns in fours, and blocks of 1, 2, 4 or 8 filters that list which fours of their group they read.
For AVX2 without VNNI `split_weights` orders a block's fours and keeps apart what exceeds 16 bits.
Linear layers have blocks of 16 filters. Depthwise layers hold each row of a kernel twice, in turns
of four: as it is, and one pixel on.
"""

from dataclasses import dataclass

import numpy as np

from openwork.kernels.narrow.byte_costs import ByteCosts, byte_costs
from openwork.kernels.narrow.split_weights import split_weights
from openwork.kernels.native import extension as _C
from openwork.kernels.problem import Geometry
from openwork.kernels.to_native import native_geometry

__all__ = ["ByteProblem", "pack_bytes"]

_GROUPS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, eq=False)
class ByteProblem:
    """One layer.

    Attributes:
        geometry: its sizes.
        groups: groups of the convolution.
        weight: `(out_channels, in_channels / groups, ky, kx)` int8.
        zero: the input's zero point.
        scale, bias: `(out_channels,)` float32.
        least, most: bounds of what is written; bytes, unless `out_zero` is None.
        out_zero: the output's zero point; None writes floats.
        residual_zero, residual_scale: of the residual.
    """

    geometry: Geometry
    groups: int
    weight: np.ndarray
    zero: int
    scale: np.ndarray
    bias: np.ndarray
    least: float
    most: float
    out_zero: int | None
    residual_zero: int = 0
    residual_scale: float = 0.0

    def matrix(self) -> np.ndarray:
        """The weight as `(out_channels, in_channels * taps)`, zeros outside of groups."""
        out, inside = self.weight.shape[:2]
        taps = self.weight[0, 0].size
        rows = out // self.groups
        full = np.zeros((out, self.groups, inside * taps), np.int8)
        full[np.arange(out), np.arange(out) // rows] = self.weight.reshape(out, -1)
        return full.reshape(out, -1)


def pack_bytes(problem: ByteProblem, isa: str) -> "_C.ByteLayer":
    """The layer packed in the way that is cheapest by count.

    Args:
        problem: the layer.
        isa: one of the extension's `byte_isas`.

    Raises:
        ValueError: the kernels do not take its sizes.
    """
    if _is_depthwise(problem):
        return _pack_depthwise(problem, isa)
    matrix = problem.matrix()
    plain = _is_plain(problem.geometry)
    single = plain and problem.geometry.size == (1, 1)
    narrow = _C.is_narrow(isa)
    costs = byte_costs(isa, problem.geometry, plain)
    groups, rows = ([np.arange(len(matrix))], 16) if single else _partition(matrix != 0, costs)
    used = _numbers(matrix.shape[1]) if plain else np.flatnonzero((matrix != 0).any(axis=0))
    if not used.size:
        used = np.zeros(1, np.int64)
    arrays = _Arrays(matrix, used, rows, split=narrow and not single)
    for filters in groups:
        arrays.add(filters)
    taps = problem.weight[0, 0].size
    places = (used // taps).astype(np.int32), (used % taps).astype(np.uint16)
    fields = [*places, *arrays.finish(), *_requantisation(problem)]
    return _layer(problem, isa, _C.ByteArrays(*fields), plain=plain, depthwise=False, rows=rows)


def _requantisation(problem: ByteProblem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The fields offset, scale and bias of the plan."""
    sums = problem.weight.reshape(len(problem.weight), -1).sum(axis=1, dtype=np.int32)
    return -problem.zero * sums, problem.scale, problem.bias


def _layer(
    problem: ByteProblem,
    isa: str,
    arrays: "_C.ByteArrays",
    *,
    plain: bool,
    depthwise: bool,
    rows: int,
) -> "_C.ByteLayer":
    out_zero = problem.out_zero
    shift = out_zero or 0
    return _C.byte_conv(
        isa,
        native_geometry(problem.geometry),
        arrays,
        plain=plain,
        depthwise=depthwise,
        rows=rows,
        zero=problem.zero,
        to_float=out_zero is None,
        least=problem.least - shift,
        most=problem.most - shift,
        out_zero=shift,
        residual_zero=problem.residual_zero,
        residual_scale=problem.residual_scale,
    )


def _is_depthwise(problem: ByteProblem) -> bool:
    """Whether kernels of depthwise layers take it."""
    geometry = problem.geometry
    return (
        problem.groups == geometry.in_channels > 1
        and geometry.stride[1] <= 2
        and geometry.dilation[1] == 1
        and problem.out_zero is not None
        and problem.residual_scale == 0
    )


def _pack_depthwise(problem: ByteProblem, isa: str) -> "_C.ByteLayer":
    out, (height, width) = len(problem.weight), problem.geometry.kernel
    kernels = np.zeros((out, height, 2, width // 4 * 4 + 4), np.int8)
    kernels[:, :, 0, :width] = kernels[:, :, 1, 1 : width + 1] = problem.weight[:, 0]
    kernels = kernels.reshape(out, height, 2, -1, 4).swapaxes(2, 3)
    none = np.zeros(0, np.int32)
    arrays = _C.ByteArrays(
        np.zeros(1, np.int32),
        np.zeros(1, np.uint16),
        np.zeros(2, np.int64),
        none,
        np.array([0, out], np.int64),
        np.arange(out, dtype=np.int32),
        np.zeros(len(kernels) + 1, np.int64),
        np.zeros(0, np.uint16),
        kernels.reshape(-1),
        np.zeros(len(kernels) + 1, np.int64),
        np.zeros(0, np.uint16),
        np.zeros(0, np.int8),
        *_requantisation(problem),
    )
    return _layer(problem, isa, arrays, plain=False, depthwise=True, rows=1)


def _is_plain(geometry: Geometry) -> bool:
    sizes = geometry.kernel, geometry.stride, geometry.padding
    return sizes == ((1, 1), (1, 1), (0, 0))


def _partition(live: np.ndarray, costs: ByteCosts) -> tuple[list[np.ndarray], int]:
    """Groups of filters that list their columns together, and the filters in a block."""
    out = len(live)
    best = float("inf"), out, 1
    for size in (*(each for each in _GROUPS if each < out), out):
        starts = _numbers(out)[::size]
        unions = np.logical_or.reduceat(live, starts, axis=0).sum(axis=1)
        fours = -(-unions // 4)
        rows = max(each for each in costs.product if each <= size)
        blocks = -(-np.minimum(size, out - starts) // rows)
        cost = float((fours * costs.of(blocks, rows)).sum())
        if cost < best[0]:
            best = cost, size, rows
    # One group of all filters, whose blocks leave out the fours that none of them reads.
    some = live[:, live.any(axis=0)]
    number = max(1, -(-some.shape[1] // 4))
    padded = np.zeros((out + -out % 8, 4 * number), bool)
    padded[:out, : some.shape[1]] = some
    fours_live = padded.reshape(-1, number, 4).any(axis=2)
    for rows, product in costs.product.items():
        read = fours_live.reshape(-1, rows, number).any(axis=1).sum()
        cost = number * costs.interleave + float(read) * product
        if cost < best[0]:
            best = cost, out, rows
    _, size, rows = best
    return [np.arange(at, min(at + size, out)) for at in range(0, out, size)], rows


class _Arrays:
    """The packed arrays while groups are added."""

    def __init__(self, matrix: np.ndarray, used: np.ndarray, rows: int, split: bool) -> None:
        self._matrix, self._rows, self._split = matrix, rows, split
        self._place = np.zeros(matrix.shape[1], np.int32)
        self._place[used] = np.arange(len(used))
        self.column: list[np.ndarray] = []
        self._blocks: list[int] = []
        self._filter: list[np.ndarray] = []
        self._quad: list[np.ndarray] = []
        self._weight: list[np.ndarray] = []
        self._rest_quad: list[np.ndarray] = []
        self._rest_weight: list[np.ndarray] = []

    def add(self, filters: np.ndarray) -> None:
        """A group of these filters."""
        weights = self._matrix[filters]
        columns = np.flatnonzero(weights.any(axis=0))
        missing = -len(columns) % 4
        weights = np.pad(weights[:, columns], ((0, -len(filters) % self._rows), (0, missing)))
        # Columns that fill a four have weights of zero.
        filling = np.repeat(columns[-1:], missing)
        self.column.append(self._place[np.concatenate([columns, filling])])
        padded = np.full(len(weights), -1, np.int32)
        padded[: len(filters)] = filters
        self._filter.append(padded)
        self._blocks.append(len(weights) // self._rows)
        for block in weights.reshape(self._blocks[-1], self._rows, weights.shape[1] // 4, 4):
            read = np.flatnonzero(block.any(axis=(0, 2)))
            fours = block[:, read]
            if self._split:
                split = split_weights(fours)
                self._rest_quad.append(read[split.rest_four].reshape(-1))
                self._rest_weight.append(split.rest_weight)
                fours, read = split.weight, read[split.order]
            self._quad.append(read.astype(np.uint16))
            self._weight.append(fours.transpose(1, 0, 2).reshape(-1))

    def finish(self) -> list[np.ndarray]:
        """group_column, column, group_block, filter, quad_start, quad, weight, and the rest's."""
        none = [np.zeros((0, self._rows, 4), np.int8)]
        rest = self._rest_weight or none * len(self._quad)
        return [
            _starts([len(each) for each in self.column]),
            np.concatenate(self.column).astype(np.int32),
            _starts(self._blocks),
            np.concatenate(self._filter),
            _starts([len(each) for each in self._quad]),
            np.concatenate(self._quad),
            np.ascontiguousarray(np.concatenate(self._weight)),
            _starts([len(each) for each in rest]),
            np.concatenate([*self._rest_quad, np.zeros(0, np.uint16)]).astype(np.uint16),
            np.concatenate(rest).reshape(-1),
        ]


def _numbers(count: int) -> np.ndarray:
    return np.arange(count)


def _starts(sizes: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
