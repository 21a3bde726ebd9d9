// Blocks of Winograd tiles, and where their transformed numbers lie.
//
// Two layouts put tiles into the lanes: rows of tiles (winograd_rows.h), and tiles of different
// images (winograd_images.h). Both offer the same: how many vectors of tiles there are, and for a
// block of them the transforms of one channel and back.
#pragma once
#include "../plans.h"
#include "vec.h"
#include "winograd_transform.h"

namespace openwork::OPENWORK_NAMESPACE {

// Images of one call: floats from one to the next, of input and output.
struct Images {
  int64_t in_image, out_image;
  int count;
};

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

// What the next channels are read from lies too far apart for the processor to foresee.
constexpr int channels_ahead = 2;

// One row of positions. A store would wait for its line where slabs do not stay in the L2 cache, so
// those of the next channel, `next` floats on, are fetched now.
template <int N>
OPENWORK_INLINE void store_row(const vec (&u)[N], int row, int64_t slab, int64_t next, float* to) {
#pragma GCC unroll 6
  for (int j = 0; j < N; ++j) {
    float* place = to + (row * N + j) * slab;
    store(place, u[j]);
    __builtin_prefetch(place + next, 1, 3);
  }
}

// Products of one vector of tiles to M x M outputs, column by column; `emit(column, j)`.
template <int M, class Emit>
OPENWORK_INLINE void transform_products(const float* products, int64_t slab, const Emit& emit) {
  constexpr int N = M + 2;
  vec half[N][M];
#pragma GCC unroll 6
  for (int i = 0; i < N; ++i) {
    vec m[N];
#pragma GCC unroll 6
    for (int j = 0; j < N; ++j) m[j] = load(products + (i * N + j) * slab);
    transform_output(m, half[i]);
  }
#pragma GCC unroll 4
  for (int j = 0; j < M; ++j) {
    vec m[N], column[M];
#pragma GCC unroll 6
    for (int i = 0; i < N; ++i) m[i] = half[i][j];
    transform_output(m, column);
    emit(column, j);
  }
}

}  // namespace openwork::OPENWORK_NAMESPACE
