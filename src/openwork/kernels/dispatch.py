"""The kernels as data: what each needs, which tiles it comes in, how it is packed.

A candidate's name says all of its choices: `dtype-op-algorithm-tile-isa`, for instance
`f32-conv3x3-winograd4-v4k128g2-avx512` (csrc/README.md, "Names").
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from openwork.kernels.candidate import Candidate, Family
from openwork.kernels.narrow.pair_tile import FAMILY as PAIRS
from openwork.kernels.narrow.pair_tile import has_pairs
from openwork.kernels.native import extension as _C
from openwork.kernels.pack_dense import pack_dense
from openwork.kernels.pack_gemv import pack_gemv, shares_inputs
from openwork.kernels.pack_rows import (
    DIRECT_KERNELS,
    pack_depthwise,
    pack_direct,
    pack_taps,
    padded_floats,
)
from openwork.kernels.pack_spmm import is_plain, pack_spmm, spmm_rows
from openwork.kernels.pack_winograd import pack_winograd
from openwork.kernels.problem import Problem, several_channels
from openwork.kernels.to_native import geometry_refusal, native_activation, native_geometry

__all__ = ["candidates", "candidates_by_family", "each_candidate", "worth_measuring"]


def candidates(
    problem: Problem, isa: str | None = None, batch: int | None = None
) -> list[Candidate]:
    """Every candidate that can run `problem`.

    Args:
        problem: the layer.
        isa: an instruction set; by default OPENWORK_ISA if set, else the best of this machine.
        batch: images in a call. Tiles that could run but gain nothing at this size are left out.
            None (default) leaves out none, so that what was chosen for any size can be found.
    """
    return list(each_candidate(problem, isa, batch))


def each_candidate(
    problem: Problem, isa: str | None = None, batch: int | None = None
) -> Iterator[Candidate]:
    """`candidates`, each family's when it is reached: for large layers some take 30 ms."""
    for _, found in _able(problem, isa, batch):
        yield from found


def candidates_by_family(
    problem: Problem,
    isa: str | None = None,
    batch: int | None = None,
    only: Collection[str] | None = None,
) -> dict[str, list[Candidate]]:
    """`candidates`, by the name of their family; `only` families of these names, if given."""
    return {name: list(found) for name, found in _able(problem, isa, batch, only)}


def _able(
    problem: Problem,
    isa: str | None,
    batch: int | None,
    only: Collection[str] | None = None,
) -> Iterator[tuple[str, Iterator[Candidate]]]:
    """The families that can run `problem`, by name, one after another."""
    if geometry_refusal(problem.geometry) is not None:
        return
    chosen = isa or _C.chosen_isa()
    images = _MANY_IMAGES if batch is None else batch
    for family in FAMILIES:
        if (only is None or family.name in only) and family.refusal(problem) is None:
            yield family.name, family.candidates(problem, chosen, images)


def worth_measuring(
    problem: Problem,
    isa: str,
    batch: int,
    only: Collection[str] | None = None,
    bfloat16: bool = False,
) -> dict[str, list[Candidate]]:
    """`candidates_by_family` without families that never won where a better one can run.

    Args:
        problem, isa, batch, only: as there.
        bfloat16: whether kernels in bfloat16 may win (default False); they are left out in any case
            where the processor would have to emulate their instructions.
    """
    wanted = {family.name for family in FAMILIES} if only is None else set(only)
    if not (bfloat16 and has_pairs(isa)):
        wanted.discard(PAIRS.name)
    families = candidates_by_family(problem, isa, batch, wanted)
    if "f32-conv-depthwise" in families and problem.whole():
        return {"f32-conv-depthwise": families["f32-conv-depthwise"]}
    height, width = problem.geometry.out_size
    fills_vectors = batch * height * width >= _C.lanes(isa)
    if "f32-conv-dense" in families and is_plain(problem.geometry) and fills_vectors:
        best = ("f32-conv-dense", "f32-linear-dense", PAIRS.name)
        return {name: families[name] for name in best if name in families}
    if "f32-conv-dense" in families:
        # As fast at best, and they do not run in bands: a chain of layers would break there.
        families.pop("f32-conv-taps", None)
    return families


# Enough images to fill the largest tile, however small the map.
_MANY_IMAGES = 1024


def refusals(problem: Problem) -> dict[str, str]:
    """The reason for each family that cannot run `problem`."""
    beyond = geometry_refusal(problem.geometry)
    reasons = {family.name: beyond or family.refusal(problem) for family in FAMILIES}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _common(
    problem: Problem, isa: str
) -> "tuple[str, _C.Geometry, np.ndarray | None, _C.Activation]":
    geometry, activation = native_geometry(problem.geometry), native_activation(problem.activation)
    return isa, geometry, problem.bias, activation


# Sparse products: spmm and winograd ---------------------------------------------------------------


# Vectors per tile. Gathered rows take longer to pack, so only sizes near the best are tried there.
_TILES = (1, 2, 3, 4, 5, 7, 8)
_GATHERED_TILES = (2, 3, 4, 5, 8)


def _product_tiles(
    problem: Problem, isa: str, vectors: int, inputs: int, tiles: tuple[int, ...] = _TILES
) -> Iterator[tuple[int, int, int]]:
    """(vectors, chunk, group) worth measuring for `vectors` vectors of `inputs` rows in all."""
    lanes = _C.lanes(isa)
    seen: set[tuple[int, int, int]] = set()
    for group in (1, 2, 4):
        if group > problem.geometry.out_channels:
            continue
        for below, tile in pairwise((0, *tiles)):
            # Tiles larger than the first that holds all of the work gain nothing.
            if below >= vectors or tile > _C.most_vectors(isa, group):
                continue
            # Chunks that fill a typical L1 cache, chunks of twice that, and no chunks at all.
            for size in (32768, 65536, None):
                chunk = inputs if size is None else max(16, size // (tile * lanes * 4))
                chunk = min(chunk, inputs, 65535)
                if (tile, chunk, group) not in seen:
                    seen.add((tile, chunk, group))
                    yield tile, chunk, group


def _spmm_refusal(problem: Problem) -> str | None:
    if problem.taps > _C.most_taps:
        return f"the kernel has {problem.taps} taps, more than {_C.most_taps}"
    return None


def _spmm(problem: Problem, isa: str, batch: int) -> Iterator[Candidate]:
    if _is_few_vectors(problem, batch):
        return
    height, width = problem.geometry.out_size
    vectors = -(-batch * height * width // _C.lanes(isa))
    plain = is_plain(problem.geometry)
    op = "conv1x1" if plain else "conv"
    in_place = plain and height * width >= 2 * _C.lanes(isa)
    columns = problem.geometry.in_channels if plain else len(spmm_rows(problem)[0])
    tiles = _TILES if plain else _GATHERED_TILES
    for tile, chunk, group in _product_tiles(problem, isa, vectors, columns, tiles):
        # So many gathered rows do not stay in cache, and packing them takes seconds.
        if not plain and chunk == columns > 2048:
            continue
        for place in (False, True) if in_place else (False,):
            name = f"f32-{op}-spmm-v{tile}k{chunk}g{group}{'i' * place}-{isa}"
            yield Candidate(name, SpmmTile(isa, tile, chunk, group, place))


@dataclass(frozen=True)
class SpmmTile:
    isa: str
    vectors: int
    chunk: int
    group: int
    in_place: bool

    def __call__(self, problem: Problem) -> "_C.Layer":
        key = "spmm", self.chunk, self.group
        return _C.spmm(
            *_common(problem, self.isa),
            *problem.packed(key, lambda: pack_spmm(problem, self.chunk, self.group)),
            chunk=self.chunk,
            group=self.group,
            vectors=self.vectors,
            in_place=self.in_place,
        )


def _winograd_refusal(problem: Problem) -> str | None:
    g = problem.geometry
    if g.kernel != (3, 3):
        return f"the kernel is {g.kernel}, not (3, 3)"
    if g.stride != (1, 1) or g.dilation != (1, 1):
        return f"stride {g.stride} and dilation {g.dilation} must be (1, 1)"
    return None


def _winograd(output: int) -> Callable[[Problem, str, int], Iterator[Candidate]]:
    def enumerate_tiles(problem: Problem, isa: str, batch: int) -> Iterator[Candidate]:
        height, width = problem.geometry.out_size
        tiles = batch * -(-height // output) * -(-width // output)
        vectors = -(-tiles // _C.lanes(isa))
        inputs = problem.geometry.in_channels
        for tile, chunk, group in _product_tiles(problem, isa, vectors, inputs):
            name = f"f32-conv3x3-winograd{output}-v{tile}k{chunk}g{group}-{isa}"
            yield Candidate(name, WinogradTile(isa, output, tile, chunk, group))

    return enumerate_tiles


@dataclass(frozen=True)
class WinogradTile:
    isa: str
    output: int
    vectors: int
    chunk: int
    group: int

    def __call__(self, problem: Problem) -> "_C.Layer":
        key = "winograd", self.output, self.chunk, self.group
        return _C.winograd(
            *_common(problem, self.isa),
            problem.packed(
                key, lambda: pack_winograd(problem, self.output, self.chunk, self.group)
            ),
            chunk=self.chunk,
            group=self.group,
            vectors=self.vectors,
            output=self.output,
        )


# Direct kernels -----------------------------------------------------------------------------------


def _direct_refusal(problem: Problem) -> str | None:
    g = problem.geometry
    if g.kernel not in DIRECT_KERNELS or g.stride != (1, 1):
        return f"no template for kernel {g.kernel} with stride {g.stride}"
    if g.dilation != (1, 1):
        return f"dilation is {g.dilation}, not (1, 1)"
    if not problem.whole():
        return "some live kernels have dead taps"
    return None


def _fits(problem: Problem, isa: str, rows: int, vectors: int) -> bool:
    """Whether the map fills the tile's last vector (or the tile is the smallest one)."""
    height, width = problem.geometry.out_size
    lanes = _C.lanes(isa)
    return (rows <= height or rows <= 4) and (vectors == 1 or (vectors - 1) * lanes < width)


def _direct(problem: Problem, isa: str, batch: int) -> Iterator[Candidate]:
    (ky, kx), (sy, _) = problem.geometry.kernel, problem.geometry.stride
    for rows, vectors in _C.row_tiles(isa):
        if _fits(problem, isa, rows, vectors):
            name = f"f32-conv{ky}x{kx}s{sy}-direct-{rows}x{vectors}-{isa}"
            yield Candidate(name, DirectTile(isa, rows, vectors))


@dataclass(frozen=True)
class DirectTile:
    isa: str
    rows: int
    vectors: int

    def __call__(self, problem: Problem) -> "_C.Layer":
        packed = problem.packed(("direct",), lambda: pack_direct(problem))
        return _C.direct(*_common(problem, self.isa), *packed, rows=self.rows, vectors=self.vectors)


def _taps_refusal(problem: Problem) -> str | None:
    floats = padded_floats(problem.geometry)
    if floats > _C.most_padded_floats:
        return f"the padded input has {floats} floats, more than {_C.most_padded_floats}"
    return None


def _taps(problem: Problem, isa: str, batch: int) -> Iterator[Candidate]:
    if _is_few_vectors(problem, batch):
        return
    for rows, vectors in _C.tap_tiles(isa):
        for flat in (False, True):
            if rows > 1 if flat else not _fits(problem, isa, rows, vectors):
                continue
            tile = f"flat{vectors}" if flat else f"{rows}x{vectors}"
            yield Candidate(f"f32-conv-taps-{tile}-{isa}", TapsTile(isa, rows, vectors, flat))


@dataclass(frozen=True)
class TapsTile:
    isa: str
    rows: int
    vectors: int
    flat: bool

    def __call__(self, problem: Problem) -> "_C.Layer":
        packed = pack_taps(problem)
        return _C.taps(
            *_common(problem, self.isa),
            *packed,
            rows=self.rows,
            vectors=self.vectors,
            flat=self.flat,
        )


def _dense_refusal(problem: Problem) -> str | None:
    g = problem.geometry
    if problem.groups > 1:
        return f"it has {problem.groups} groups"
    if len(problem.positions) < g.out_channels * g.in_channels * problem.taps:
        return "some taps are dead"
    return _spmm_refusal(problem)


def _dense(problem: Problem, isa: str, batch: int) -> Iterator[Candidate]:
    height, width = problem.geometry.out_size
    plain = is_plain(problem.geometry)
    op = "conv1x1" if plain else "conv"
    in_place = plain and height * width >= 2 * _C.lanes(isa)
    for group, vectors in _C.dense_tiles(isa):
        for place in (False, True) if in_place else (False,):
            name = f"f32-{op}-dense-g{group}v{vectors}{'i' * place}-{isa}"
            yield Candidate(name, DenseTile(isa, group, vectors, place))


@dataclass(frozen=True)
class DenseTile:
    isa: str
    group: int
    vectors: int
    in_place: bool

    def __call__(self, problem: Problem) -> "_C.Layer":
        packed = problem.packed(("dense", self.group), lambda: pack_dense(problem, self.group))
        return _C.dense(
            *_common(problem, self.isa),
            *packed,
            group=self.group,
            vectors=self.vectors,
            in_place=self.in_place,
        )


def _depthwise_refusal(problem: Problem) -> str | None:
    if problem.taps > _C.most_taps:
        return f"the kernel has {problem.taps} taps, more than {_C.most_taps}"
    if (reason := _taps_refusal(problem)) is not None:
        return reason
    out, inside, _ = problem.units()
    several = several_channels(out, inside)
    if several.size:
        return f"filter {several[0]} reads several input channels"
    return None


def _depthwise(problem: Problem, isa: str, batch: int) -> Iterator[Candidate]:
    yield Candidate(f"f32-conv-depthwise-{isa}", Depthwise(isa))


@dataclass(frozen=True)
class Depthwise:
    isa: str

    def __call__(self, problem: Problem) -> "_C.Layer":
        packed = problem.packed(("depthwise",), lambda: pack_depthwise(problem))
        return _C.depthwise(*_common(problem, self.isa), *packed)


# Linear layers ------------------------------------------------------------------------------------


def _gemv_refusal(problem: Problem) -> str | None:
    g = problem.geometry
    if not is_plain(g) or g.size != (1, 1):
        return f"{g.kernel} kernels of {g.size} maps are not a linear layer"
    return None


def _is_few_vectors(problem: Problem, batch: int) -> bool:
    """Whether the kernels of linear layers win: others are packed slowly and leave lanes idle."""
    return batch <= _FEW_VECTORS and _gemv_refusal(problem) is None


_FEW_VECTORS = 8


def _gemv(problem: Problem, isa: str, batch: int) -> Iterator[Candidate]:
    lanes = _C.lanes(isa)
    for group in sorted({lanes, 4, 1}, reverse=True):
        if group == 1 or shares_inputs(problem, group):
            yield Candidate(f"f32-linear-gemv-g{group}-{isa}", GemvTile(isa, group))


@dataclass(frozen=True)
class GemvTile:
    isa: str
    group: int

    def __call__(self, problem: Problem) -> "_C.Layer":
        lanes = _C.lanes(self.isa)
        key = "gemv", lanes, self.group
        packed = problem.packed(key, lambda: pack_gemv(problem, lanes, self.group))
        return _C.gemv(
            *_common(problem, self.isa), *packed.arrays(), chunk=packed.chunk, group=self.group
        )


def _dense_gemv_refusal(problem: Problem) -> str | None:
    g = problem.geometry
    if problem.positions.size < g.in_channels * g.out_channels:
        return "some weights are dead"
    return _gemv_refusal(problem)


def _dense_gemv(problem: Problem, isa: str, batch: int) -> Iterator[Candidate]:
    yield Candidate(f"f32-linear-dense-b4-{isa}", DenseGemv(isa))


@dataclass(frozen=True)
class DenseGemv:
    isa: str

    def __call__(self, problem: Problem) -> "_C.Layer":
        return _C.dense_gemv(*_common(problem, self.isa), problem.weight)


FAMILIES = (
    Family("f32-conv-spmm", _spmm_refusal, _spmm),
    Family("f32-conv3x3-winograd4", _winograd_refusal, _winograd(4)),
    Family("f32-conv3x3-winograd2", _winograd_refusal, _winograd(2)),
    Family("f32-conv-direct", _direct_refusal, _direct),
    Family("f32-conv-taps", _taps_refusal, _taps),
    Family("f32-conv-dense", _dense_refusal, _dense),
    Family("f32-conv-depthwise", _depthwise_refusal, _depthwise),
    Family("f32-linear-gemv", _gemv_refusal, _gemv),
    Family("f32-linear-dense", _dense_gemv_refusal, _dense_gemv),
    PAIRS,
)
