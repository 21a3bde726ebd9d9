"""The sparse product in bfloat16, as data: what it needs, and its tiles (csrc/simd/pairs.cpp).

Maps stay float32 between layers. Each tile's pixels are rounded to bfloat16 when they are gathered,
and two inputs at a time are multiplied by two weights, with float32 sums. These are the same, bit
for bit, on every instruction set: processors without AVX-512 BF16 emulate it, slowly, so that a
file runs on them too.

Filters that share their inputs in eights (`block(8, 1)`, whole layers) gain most, for two of their
inputs are brought together once for all eight. A random pattern pairs any two live inputs of a
filter, or of those of two or four that the same filters read. Then bringing pairs together costs
about as much as multiplying them, so such patterns gain less.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product

from openwork.kernels.candidate import Candidate, Family
from openwork.kernels.narrow.pack_pairs import MOST_CHUNK, SHARED, pack_pairs, shares_columns
from openwork.kernels.native import extension as _C
from openwork.kernels.pack_spmm import is_plain, spmm_rows
from openwork.kernels.problem import Problem
from openwork.kernels.to_native import native_activation, native_geometry

__all__ = ["has_pairs", "named_here"]

_NAME = "bf16-conv-spmm"
# Vectors of pixels in a tile: an odd one of them fills half a register of pairs.
_TILES = (1, 2, 3, 4, 5, 6, 8)
# Inputs per chunk. At 4 to 16 vectors of 16 pixels, two bytes each, 16 to 64 KB.
_CHUNKS = (128, 256, 512)


def has_pairs(isa: str) -> bool:
    """Whether this processor has the instructions where a network is compiled for `isa`."""
    return _C.pair_isa_of(isa) != isa


def named_here(kernel: str, isa: str) -> str:
    """What a kernel in bfloat16, named on another machine, is called where `isa` is chosen."""
    if not kernel.startswith("bf16-"):
        return kernel
    return f"{kernel.rpartition('-')[0]}-{_C.pair_isa_of(isa)}"


@dataclass(frozen=True)
class PairTile:
    """One tile.

    Attributes:
        isa: one of the extension's `pair_isas`.
        vectors: of pixels.
        chunk: inputs per chunk.
        group: filters that are processed together: 1, 2 or 4, or 8 that share their inputs.
    """

    isa: str
    vectors: int
    chunk: int
    group: int

    def __call__(self, problem: Problem) -> "_C.Layer":
        key = "pairs", self.chunk, self.group
        return _C.pairs(
            self.isa,
            native_geometry(problem.geometry),
            problem.bias,
            native_activation(problem.activation),
            *problem.packed(key, lambda: pack_pairs(problem, self.chunk, self.group)),
            chunk=self.chunk,
            group=self.group,
            vectors=self.vectors,
        )


def _refusal(problem: Problem) -> str | None:
    if problem.taps > _C.most_taps:
        return f"the kernel has {problem.taps} taps, more than {_C.most_taps}"
    if is_plain(problem.geometry) and problem.geometry.size == (1, 1):
        return "linear layers stay in float32"
    if problem.group_inputs == 1:
        return "filters that read one channel each stay in float32"
    return None


def _tiles(problem: Problem, isa: str, batch: int) -> Iterator[Candidate]:
    own = _C.pair_isa_of(isa)
    height, width = problem.geometry.out_size
    vectors = -(-batch * height * width // _C.lanes(isa))
    plain = is_plain(problem.geometry)
    op = "conv1x1" if plain else "conv"
    columns = problem.geometry.in_channels if plain else len(spmm_rows(problem)[0])
    chunks = sorted({min(chunk, columns) for chunk in (*_CHUNKS, MOST_CHUNK)})
    filters = problem.geometry.out_channels
    shared = filters >= 4 and problem.packed(("shares columns",), lambda: _shares(problem))
    for group in (SHARED, 4) if shared else (1, 2, 4):
        if group > filters:
            continue
        for (below, tile), chunk in product(pairwise((0, *_TILES)), chunks):
            # Tiles larger than the first that holds all of the work gain nothing, and so many rows
            # do not stay in the cache.
            if below >= vectors or tile > _C.most_pair_vectors(group) or chunk > _MOST_ROWS:
                continue
            name = f"bf16-{op}-spmm-v{tile}k{chunk}g{group}-{own}"
            yield Candidate(name, PairTile(own, tile, chunk, group))


_MOST_ROWS = 4096


def _shares(problem: Problem) -> bool:
    g = problem.geometry
    if problem.groups == 1 and problem.positions.size == g.out_channels * g.in_channels * (
        problem.taps
    ):
        return True
    return shares_columns(problem)


FAMILY = Family(_NAME, _refusal, _tiles)
