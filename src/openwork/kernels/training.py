"""The kernels that train a sparse layer, as data: forward and both gradients."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np

from openwork.kernels.live_taps import LiveTaps, Phase, input_gradient
from openwork.kernels.native import extension as _C
from openwork.kernels.pack_rows import DIRECT_KERNELS, padded_floats
from openwork.kernels.pack_spmm import is_plain
from openwork.kernels.pack_training import (
    sampled_direct,
    sampled_spmm,
    sampled_winograd,
    trainable_direct,
    trainable_spmm,
    trainable_taps,
    trainable_winograd,
)
from openwork.kernels.problem import Geometry
from openwork.kernels.to_native import geometry_refusal

__all__ = ["Direction", "TrainingKernel", "kernels"]

Direction = Literal["forward", "input", "weight"]
DIRECTIONS = get_args(Direction)


@dataclass(frozen=True, eq=False)
class TrainingKernel:
    """One way to compute one direction of a layer; `build` packs its pattern.

    Args:
        name: as csrc/README.md explains.
        build: gives a `PackedConvolution` (forward, input) or a `WeightGradient` (weight).
    """

    name: str
    build: Callable[[], Any]


class PackedConvolution:
    """A packed convolution whose live weights come with each call.

    Args:
        phases: kernel, top and left of each phase (live_taps.py); None where nothing is live.
        geometries: sizes of the phases' convolutions; None where nothing is live.
        stride: of the phases, (vertical, horizontal).
        size: (height, width) of the result.
        isa: instruction set.
    """

    def __init__(
        self,
        phases: "list[tuple[_C.Trainable | None, int, int]]",
        geometries: Sequence[Geometry | None],
        stride: tuple[int, int],
        size: tuple[int, int],
        isa: str,
    ) -> None:
        self._phases = phases
        self._geometries = geometries
        self._stride = stride
        self._isa = isa
        first = geometries[0]
        whole = first is not None and first.out_size == size and phases[0][1:] == (0, 0)
        self._direct = len(phases) == 1 and whole

    def workspace(self, batch: int, threads: int) -> int:
        """Floats that `run` needs as workspace."""
        own = [layer.workspace(batch, threads) for layer, _, _ in self._phases if layer is not None]
        results = 0 if self._direct else sum(self._floats(batch))
        return max(own, default=0) + results

    def run(
        self,
        weight: np.ndarray,
        input: np.ndarray,
        output: np.ndarray,
        bias: np.ndarray | None,
        workspace: np.ndarray,
        threads: int,
    ) -> None:
        """Write the convolution and bias to `output`.

        Args:
            weight: (live,) float32, in canonical order.
            input: (batch, in_channels, height, width), contiguous float32.
            output: (batch, out_channels, height', width'), contiguous float32.
            bias: (out_channels,) float32 or None.
            workspace: (floats,), its contents are lost; not shared by concurrent calls.
            threads: of the OpenMP pool, which torch shares.
        """
        if self._direct:
            layer, _, _ = self._phases[0]
            if layer is not None:
                layer.run(weight, input, output, bias, workspace, threads)
            return
        floats = self._floats(len(input))
        rest = workspace[sum(floats) :]
        parts: list[tuple[np.ndarray | None, int, int]] = []
        at = 0
        for (layer, top, left), geometry, size in zip(
            self._phases, self._geometries, floats, strict=True
        ):
            if layer is None or geometry is None:
                parts.append((None, 0, 0))
                continue
            shape = (len(input), geometry.out_channels, *geometry.out_size)
            result = workspace[at : at + size].reshape(shape)
            at += size
            parts.append((result, top, left))
            layer.run(weight, input, result, bias, rest, threads)
        _C.interleave(
            self._isa,
            parts,
            output,
            stride_y=self._stride[0],
            stride_x=self._stride[1],
            threads=threads,
        )

    def _floats(self, batch: int) -> list[int]:
        """Floats of each phase's result."""
        sizes: list[int] = []
        for geometry in self._geometries:
            floats = 0
            if geometry is not None:
                height, width = geometry.out_size
                floats = batch * geometry.out_channels * height * width
            sizes.append(floats)
        return sizes


class WeightGradient:
    """A packed layer's gradient of its live weights."""

    def __init__(self, layer: "_C.Sampled") -> None:
        self._layer = layer

    def workspace(self, batch: int, threads: int) -> int:
        """Floats that `run` needs as workspace."""
        return self._layer.workspace(batch, threads)

    def run(
        self,
        input: np.ndarray,
        gradient: np.ndarray,
        output: np.ndarray,
        workspace: np.ndarray,
        threads: int,
    ) -> None:
        """Write the gradient of each live weight.

        Args:
            input: (batch, in_channels, height, width), contiguous float32.
            gradient: (batch, out_channels, height', width'), contiguous float32.
            output: (live,) float32, in canonical order.
            workspace: (floats,), its contents are lost; not shared by concurrent calls.
            threads: of the OpenMP pool, which torch shares.
        """
        self._layer.run(input, gradient, output, workspace, threads)


def kernels(
    taps: LiveTaps, direction: Direction, isa: str, every: bool = False
) -> list[TrainingKernel]:
    """The kernels worth measuring for one direction of a layer, the likeliest to win first.

    Args:
        taps: the layer.
        direction: "forward", "input" or "weight".
        isa: instruction set.
        every: those too that must do too much work to win, so that any choice can be found.
    """
    if geometry_refusal(taps.geometry) is not None or not taps.live:
        return []
    if direction == "weight":
        return _weight_kernels(taps, isa, every)
    if direction == "forward":
        phases, stride, size = [Phase(taps)], (1, 1), taps.geometry.out_size
    else:
        phases = input_gradient(taps)
        stride, size = taps.geometry.stride, taps.geometry.size
    live = [phase.taps for phase in phases if phase.taps is not None]
    if not live or any(geometry_refusal(each.geometry) is not None for each in live):
        return []
    ways = _convolution_kernels(live, isa, every)
    return [
        TrainingKernel(name, partial(_pack, way, phases, stride, size, isa))
        for name, way in ways.items()
    ]


Way = Callable[[LiveTaps], "_C.Trainable"]


def _pack(
    way: Way,
    phases: list[Phase],
    stride: tuple[int, int],
    size: tuple[int, int],
    isa: str,
) -> PackedConvolution:
    built = [
        (None if phase.taps is None else way(phase.taps), phase.top, phase.left) for phase in phases
    ]
    geometries = [None if phase.taps is None else phase.taps.geometry for phase in phases]
    return PackedConvolution(built, geometries, stride, size, isa)


# Larger than any number of inputs: no chunks.
_ALL = 65535
# Vectors, chunk and group. Measured: filters share little below a density of 0.1. Larger blocks
# leave L2, but read the weights less often, which counts where maps are small.
_WINOGRAD_TILES = ((2, _ALL, 2), (2, _ALL, 4), (1, _ALL, 4), (4, _ALL, 2), (4, 64, 2))


def _convolution_kernels(live: list[LiveTaps], isa: str, every: bool) -> dict[str, Way]:
    """The ways to run the phases of a convolution, all of them on the same kernel."""
    first = live[0]
    ways: dict[str, Way] = {}
    fan_in = first.live / first.geometry.out_channels
    worth = _worth_measuring(_work(live, isa), every)
    if "direct" in worth:
        ways |= _direct_ways(first, isa)
    for vectors, chunk, group in _WINOGRAD_TILES:
        tile = f"v{vectors}g{group}" if chunk == _ALL else f"v{vectors}k{chunk}g{group}"
        for output in (4, 2):
            if f"winograd{output}" in worth:
                ways[f"f32-conv3x3-winograd{output}-{tile}-{isa}"] = partial(
                    trainable_winograd,
                    isa=isa,
                    output=output,
                    vectors=vectors,
                    chunk=chunk,
                    group=group,
                )
    if fan_in <= 2 * first.taps:
        # Depthwise and its like: a product would gather each row for a single filter.
        ways |= _tap_ways(first, isa)
    if "product" in worth:
        op = "conv1x1" if is_plain(first.geometry) else "conv"
        for vectors, chunk, group in ((4, 128, 2), (8, 64, 2), (5, 128, 4)):
            if vectors > _C.most_vectors(isa, group) or group > first.geometry.out_channels:
                continue
            places = _places(first) if len(live) == 1 else (False,)
            for place in places:
                name = f"f32-{op}-spmm-v{vectors}k{chunk}g{group}{'i' * place}-{isa}"
                ways[name] = partial(
                    trainable_spmm,
                    isa=isa,
                    vectors=vectors,
                    chunk=chunk,
                    group=group,
                    in_place=place,
                )
    return ways


# Sums of a row that run down whole maps (csrc/simd/direct_maps.h).
_MOST_SUMS = 2048


def _direct_ways(taps: LiveTaps, isa: str) -> dict[str, Way]:
    """Whole maps, and the two tiles that ask for the fewest multiply-adds and loads."""
    lanes, (height, width) = _C.lanes(isa), taps.geometry.out_size
    ky, kx = taps.geometry.kernel

    def cost(tile: tuple[int, int]) -> int:
        rows, vectors = tile
        tiles = -(-height // rows) * -(-width // (vectors * lanes))
        return tiles * (vectors * (rows * ky * kx + (rows + ky - 1) * kx) + ky * kx)

    ways: dict[str, Way] = {}
    if (ky, kx) == (3, 3) and -(-width // lanes) * lanes <= _MOST_SUMS:
        whole = partial(trainable_direct, isa=isa, rows=0, vectors=0)
        ways[f"f32-conv3x3s1-direct-maps-{isa}"] = whole
    return ways | {
        f"f32-conv{ky}x{kx}s1-direct-{rows}x{vectors}-{isa}": partial(
            trainable_direct, isa=isa, rows=rows, vectors=vectors
        )
        for rows, vectors in sorted(_C.row_tiles(isa), key=cost)[:2]
    }


def _tap_ways(taps: LiveTaps, isa: str) -> dict[str, Way]:
    if padded_floats(taps.geometry) > _C.most_padded_floats:
        return {}
    ways: dict[str, Way] = {}
    for rows, vectors, flat in ((4, 2, False), (4, 1, False), (1, 4, True), (1, 8, True)):
        if (rows, vectors) in _C.tap_tiles(isa):
            tile = f"flat{vectors}" if flat else f"{rows}x{vectors}"
            ways[f"f32-conv-taps-{tile}-{isa}"] = partial(
                trainable_taps, isa=isa, rows=rows, vectors=vectors, flat=flat
            )
    return ways


def _weight_kernels(taps: LiveTaps, isa: str, every: bool) -> list[TrainingKernel]:
    found: list[TrainingKernel] = []
    # Eight gradients stay in registers beside eight sums where there are 32 of them.
    most = 8 if _C.most_vectors(isa, 4) >= 5 else 4
    work = _work([taps], isa)
    # Neither has this gradient.
    work.pop("winograd2", None)
    if taps.geometry.kernel != (3, 3):
        work.pop("direct", None)
    worth = _worth_measuring(work, every)
    if "direct" in worth:
        name = f"f32-grad3x3-direct-{isa}"
        found.append(TrainingKernel(name, partial(_sampled, sampled_direct, taps, isa)))
    if "winograd4" in worth:
        for vectors, chunk in ((2, _ALL), (4, 256)):
            name = f"f32-grad3x3-winograd4-v{vectors}k{chunk}-{isa}"
            build = partial(_sampled, sampled_winograd, taps, isa, vectors, chunk)
            found.append(TrainingKernel(name, build))
    if "product" in worth:
        for vectors, chunk in ((most, 64), (most, 256), (2, _ALL)):
            for place in _places(taps):
                name = f"f32-grad-spmm-v{vectors}k{chunk}{'i' * place}-{isa}"
                build = partial(_sampled, sampled_spmm, taps, isa, vectors, chunk, place)
                found.append(TrainingKernel(name, build))
    return found


def _sampled(pack: Callable[..., "_C.Sampled"], *arguments: Any) -> WeightGradient:
    return WeightGradient(pack(*arguments))


def _places(taps: LiveTaps) -> tuple[bool, ...]:
    """Whether tiles may be read where they lie: only 1x1, and only maps that hold a tile."""
    height, width = taps.geometry.out_size
    return (False, True) if is_plain(taps.geometry) and height * width > 128 else (False,)


# What else they cost for each channel, in multiply-adds of a product: transforming a tile of it,
# gathering a pixel of it for one tap, and padding a pixel of it.
_TRANSFORM = 150
_GATHER = 10
_PAD = 2
# Multiply-adds with registers that hold several rows take this share of the time, measured.
_DIRECT = 0.35
# What must do this many times the work of another is not measured.
_TOO_MUCH = 2.0


def _work(live: list[LiveTaps], isa: str) -> dict[str, float]:
    """Multiply-adds of each of "direct", "winograd4", "winograd2" and "product" that can run."""
    work: dict[str, float] = {}
    if all(map(_is_direct, live)):
        work["direct"] = sum(_direct_work(each, _C.lanes(isa)) for each in live)
    if all(map(_is_winograd, live)):
        for output in (4, 2):
            work[f"winograd{output}"] = sum(_winograd_work(each, output) for each in live)
    if all(each.taps <= _C.most_taps for each in live):
        work["product"] = sum(map(_product_work, live))
    return work


def _worth_measuring(work: dict[str, float], every: bool) -> set[str]:
    """Which of them may be the fastest; all if `every`."""
    if every:
        return set(work)
    most = _TOO_MUCH * min(work.values(), default=0)
    worth = {name for name, each in work.items() if each <= most}
    # Larger tiles are faster at the same work.
    if "winograd2" in worth and work["winograd2"] > work["winograd4"]:
        worth.remove("winograd2")
    return worth


def _direct_work(taps: LiveTaps, lanes: int) -> float:
    height, width = taps.geometry.out_size
    pixels = height * -(-width // lanes) * lanes
    return pixels * (_DIRECT * taps.live + _PAD * taps.geometry.in_channels)


def _winograd_work(taps: LiveTaps, output: int) -> float:
    g = taps.geometry
    height, width = g.out_size
    tiles = -(-height // output) * -(-width // output)
    transform = _TRANSFORM * (output + 2) ** 2 / 36
    channels = g.in_channels + g.out_channels
    return tiles * ((output + 2) ** 2 * taps.kernels() + transform * channels)


def _product_work(taps: LiveTaps) -> float:
    height, width = taps.geometry.out_size
    return height * width * (taps.live + _GATHER * taps.taps * taps.geometry.in_channels)


def _is_direct(taps: LiveTaps) -> bool:
    g = taps.geometry
    fits = g.kernel in DIRECT_KERNELS and (g.stride, g.dilation) == ((1, 1), (1, 1))
    return fits and taps.tap is None and g.in_channels <= _ALL


def _is_winograd(taps: LiveTaps) -> bool:
    g = taps.geometry
    return (g.kernel, g.stride, g.dilation) == ((3, 3), (1, 1), (1, 1))
