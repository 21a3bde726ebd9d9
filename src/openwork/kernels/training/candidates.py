"""The kernels that train a sparse layer, as data: forward and both gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np

from openwork.kernels.native import extension as _C
from openwork.kernels.pack_rows import DIRECT_KERNELS, padded_floats
from openwork.kernels.pack_spmm import is_plain
from openwork.kernels.problem import several_channels
from openwork.kernels.to_native import geometry_refusal
from openwork.kernels.training.live_taps import LiveTaps, Phase, input_gradient
from openwork.kernels.training.pack import (
    sampled_depthwise,
    sampled_direct,
    sampled_spmm,
    sampled_winograd,
    trainable_depthwise,
    trainable_direct,
    trainable_spmm,
    trainable_taps,
    trainable_winograd,
    transposed_depthwise,
)
from openwork.kernels.training.phases import PackedPhases

__all__ = [
    "DEPTHWISE_KERNELS",
    "DEPTHWISE_STRIDES",
    "Direction",
    "TrainingKernel",
    "kernels",
]

Direction = Literal["forward", "input", "weight"]
DIRECTIONS = get_args(Direction)


@dataclass(frozen=True, eq=False)
class TrainingKernel:
    """One way to compute one direction of a layer; `build` packs its pattern.

    Args:
        name: as csrc/README.md explains.
        build: gives a packed layer: the extension's `Trainable` or `PackedPhases` (forward, input),
            or `Sampled` (weight). All have `workspace` and `run`.
    """

    name: str
    build: Callable[[], Any]


def kernels(
    taps: LiveTaps, direction: Direction, isa: str, every: bool = False
) -> list[TrainingKernel]:
    """The kernels worth measuring for one direction of a layer, the likeliest to win first.

    Args:
        taps: the layer.
        direction: "forward", "input" or "weight".
        isa: instruction set.
        every: those too that cannot win, as they do too much work or kernels made for depthwise
            layers do the same, so that any choice can be found.
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
    found: list[TrainingKernel] = []
    if direction == "input" and _is_transposed(taps):
        build = partial(transposed_depthwise, taps, isa)
        found.append(TrainingKernel(f"f32-transposed-depthwise-{isa}", build))
        if not every:
            return found
    ways = _convolution_kernels(live, isa, every)
    return found + [
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
) -> "_C.Trainable | PackedPhases":
    first = phases[0]
    alone = len(phases) == 1 and (first.top, first.left) == (0, 0)
    if alone and first.taps is not None and first.taps.geometry.out_size == size:
        return way(first.taps)
    built = [
        (None if phase.taps is None else way(phase.taps), phase.top, phase.left) for phase in phases
    ]
    geometries = [None if phase.taps is None else phase.taps.geometry for phase in phases]
    return PackedPhases(built, geometries, stride, isa)


# Larger than any number of inputs: no chunks.
_ALL = 65535
# Vectors, chunk and group. Measured: filters share little below a density of 0.1. Larger blocks
# leave L2, but read the weights less often, which counts where maps are small.
_WINOGRAD_TILES = ((2, _ALL, 2), (2, _ALL, 4), (1, _ALL, 4), (4, _ALL, 2), (4, 64, 2))


def _convolution_kernels(live: list[LiveTaps], isa: str, every: bool) -> dict[str, Way]:
    """The ways to run the phases of a convolution, all of them on the same kernel."""
    first = live[0]
    ways: dict[str, Way] = {}
    if all(map(_reads_one_channel, live)):
        ways[f"f32-conv-depthwise-{isa}"] = partial(trainable_depthwise, isa=isa)
        if not every and all(map(_is_whole_square, live)):
            return ways
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
        # A product would gather each row for a single filter.
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
    if _is_whole_square(taps) and _reads_one_channel(taps):
        build = partial(sampled_depthwise, taps, isa)
        found.append(TrainingKernel(f"f32-grad-depthwise-{isa}", build))
        if not every:
            return found
    if "direct" in worth:
        name = f"f32-grad3x3-direct-{isa}"
        found.append(TrainingKernel(name, partial(sampled_direct, taps, isa)))
    if "winograd4" in worth:
        for vectors, chunk in ((2, _ALL), (4, 256)):
            name = f"f32-grad3x3-winograd4-v{vectors}k{chunk}-{isa}"
            build = partial(sampled_winograd, taps, isa, vectors, chunk)
            found.append(TrainingKernel(name, build))
    if "product" in worth:
        for vectors, chunk in ((most, 64), (most, 256), (2, _ALL)):
            for place in _places(taps):
                name = f"f32-grad-spmm-v{vectors}k{chunk}{'i' * place}-{isa}"
                build = partial(sampled_spmm, taps, isa, vectors, chunk, place)
                found.append(TrainingKernel(name, build))
    return found


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


# Those with a template in csrc/simd/depthwise_rows.h, for dilation 1.
DEPTHWISE_KERNELS = ((3, 3), (5, 5), (7, 7))
DEPTHWISE_STRIDES = ((1, 1), (2, 2))


def _is_whole_square(taps: LiveTaps) -> bool:
    g = taps.geometry
    fits = g.kernel in DEPTHWISE_KERNELS and g.stride in DEPTHWISE_STRIDES
    return fits and g.dilation == (1, 1) and taps.tap is None


def _is_transposed(taps: LiveTaps) -> bool:
    g = taps.geometry
    alike = g.stride == (2, 2) and g.padding[0] % 2 == g.padding[1] % 2
    return alike and _is_whole_square(taps) and int(np.bincount(taps.inside).max()) == 1


def _reads_one_channel(taps: LiveTaps) -> bool:
    """Whether no filter reads two channels."""
    return taps.taps <= _C.most_taps and not several_channels(taps.out, taps.inside).size


def _is_direct(taps: LiveTaps) -> bool:
    g = taps.geometry
    fits = g.kernel in DIRECT_KERNELS and (g.stride, g.dilation) == ((1, 1), (1, 1))
    return fits and taps.tap is None and g.in_channels <= _ALL


def _is_winograd(taps: LiveTaps) -> bool:
    g = taps.geometry
    return (g.kernel, g.stride, g.dilation) == ((3, 3), (1, 1), (1, 1))
