// Blocks of Winograd tiles: where their transformed numbers lie, and the transform of an input
// channel.
#pragma once
#include "shuffle.h"
#include "winograd_tiling.h"
#include "winograd_transform.h"

namespace openwork::OPENWORK_NAMESPACE {

// Blocks differ by at most one vector, so that none is nearly empty.
struct Blocks {
  int64_t vectors, count;

  Blocks(int64_t vectors, int most) : vectors(vectors), count((vectors + most - 1) / most) {}
  int64_t begin(int64_t block) const { return vectors * block / count; }
};

// Transformed inputs and outputs of one block: a slab per position, a row per channel.
struct Slabs {
  int64_t block;  // floats in one row of a slab: tiles of one block
  int64_t in_slab, out_slab;
  int64_t all;

  Slabs(int positions, int inputs, int filters, int vectors) {
    block = static_cast<int64_t>(vectors) * lanes;
    in_slab = slab(inputs);
    out_slab = slab(filters);
    all = positions * (in_slab + out_slab);
  }

 private:
  // All positions of one channel are written in turn: a slab that is a multiple of the L1 cache's
  // way size would put them into the same few sets.
  int64_t slab(int channels) const {
    const int64_t line = 16, sets = 64;
    const int64_t lines = round_up(channels * block, line) / line;
    const int64_t wanted = round_up(block, line) / line;
    return (lines + ((wanted - lines) % sets + sets) % sets) * line;
  }
};

constexpr int channels_ahead = 2;

// What the next channels are read from lies too far apart for the processor to foresee.
template <int R>
OPENWORK_INLINE void prefetch_rows(const float* from, int width, int rows, int count) {
  if (count <= 0) return;
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
    if (r < rows) __builtin_prefetch(from + static_cast<int64_t>(r) * width, 0, 3);
}

// One channel of one vector of tiles. Vertically on vectors of pixels first, then split into phases
// (vectors of every M-th pixel), then horizontally on vectors of tiles.
template <int M>
OPENWORK_INLINE void transform_channel(const Geometry& g, const Piece (&piece)[M], ivec has_next,
                                       const float* channel, int64_t slab, float* to,
                                       int64_t ahead) {
  constexpr int N = M + 2;
  vec half[N][M];
#pragma GCC unroll 4
  for (int k = 0; k < M; ++k) {
    const Piece& p = piece[k];
    const float* from = channel + p.input;
    if (ahead > 0) prefetch_rows<M>(from + ahead, g.width, p.rows, p.count);
    vec d[N], u[N];
    if (p.y >= 0 && p.y + N <= g.height) {
#pragma GCC unroll 6
      for (int i = 0; i < N; ++i)
        d[i] = load_lanes(from + static_cast<int64_t>(i) * g.width, p.first, p.last);
    } else {
#pragma GCC unroll 6
      for (int i = 0; i < N; ++i)
        d[i] = p.y + i >= 0 && p.y + i < g.height
                   ? load_lanes(from + static_cast<int64_t>(i) * g.width, p.first, p.last)
                   : vec{};
    }
    transform_input(d, u);
#pragma GCC unroll 6
    for (int i = 0; i < N; ++i) half[i][k] = u[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < N; ++i) {
    split<M>(half[i]);
    vec d[N], u[N];
#pragma GCC unroll 4
    for (int j = 0; j < M; ++j) d[j] = half[i][j];
    d[M] = (vec)((ivec)next_lane(d[0], Lanes{}) & has_next);
    d[M + 1] = (vec)((ivec)next_lane(d[1], Lanes{}) & has_next);
    transform_input(d, u);
#pragma GCC unroll 6
    for (int j = 0; j < N; ++j) store(to + (i * N + j) * slab, u[j]);
  }
}

}  // namespace openwork::OPENWORK_NAMESPACE
