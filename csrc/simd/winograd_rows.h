// Rows of tiles in the lanes: how the tiles of all images are laid into vectors so that pixels are
// read and written whole.
//
// A vector of tiles covers `M` vectors of pixels (M outputs per tile side). A tile also needs the
// first two pixels of its right neighbour, which it takes from the next lane; so a row of tiles
// keeps one lane free at its end, except where those pixels are known to be padding. Narrow maps
// put several rows of tiles, one per slot, into one vector; wide maps put one row into several
// vectors.
#pragma once
#include "epilogue.h"
#include "shuffle.h"
#include "winograd_blocks.h"

namespace openwork::OPENWORK_NAMESPACE {

// One vector of pixels, the k-th of its vector of tiles.
struct Piece {
  int64_t input;    // float of row 0, lane 0 in channel 0; may lie in the padding
  int64_t output;   // the same in filter 0 of the output
  int y;            // input row of row 0
  int first, last;  // lanes inside the input's width
  int rows, count;  // of the output inside its map; 0 for pieces beyond the last tile
};

template <int R>
OPENWORK_INLINE void prefetch_rows(const float* from, int width, int rows, int count) {
  if (count <= 0) return;
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r)
    if (r < rows) __builtin_prefetch(from + static_cast<int64_t>(r) * width, 0, 3);
}

template <int M>
class RowTiles {
 public:
  static constexpr int N = M + 2;

  RowTiles(const Geometry& g, const Images& images) : geometry(g), images(images) {
    const int across = ceil_div(g.out_width, M);
    down = ceil_div(g.out_height, M);
    rows = static_cast<int64_t>(images.count) * down;
    const bool padded = g.width + g.pad_x <= M * across;
    const int needed = padded ? across : across + 1;
    slot_pixels = M;
    while (slot_pixels % 2 == 0 && needed <= slot_pixels / 2 * (lanes / M)) slot_pixels /= 2;
    slots = M / slot_pixels;
    pieces = needed <= lanes ? 1 : ceil_div(across, lanes - 1);
    piece_tiles = ceil_div(across, pieces);
    all = pieces > 1 ? rows * pieces : (rows + slots - 1) / slots;
    const int slot_tiles = lanes / slots;
    for (int lane = 0; lane < lanes; ++lane)
      has_next[lane] = lane % slot_tiles == slot_tiles - 1 ? 0 : -1;
  }

  // Of tiles, in all images.
  int64_t vectors() const { return all; }

  // `Most` vectors or fewer, from `begin` on. Those beyond the last hold no pixels: their numbers
  // are zeros.
  template <int Most>
  class Block {
   public:
    Block(const RowTiles& tiles, int64_t begin, int vectors) : tiles(tiles), vectors(vectors) {
      for (int v = 0; v < vectors; ++v)
        for (int k = 0; k < M; ++k) piece[v][k] = tiles.piece(begin + v, k);
    }

    // One input channel.
    OPENWORK_INLINE_MEMBER void transform_input(const float* channel, int64_t ahead, int64_t slab,
                                                float* to) {
      for (int v = 0; v < vectors; ++v)
        tiles.transform_channel(piece[v], channel, ahead, slab, vectors * lanes, to + v * lanes);
    }

    // One filter's gradient of its outputs.
    OPENWORK_INLINE_MEMBER void transform_gradient(const float* map, int64_t ahead, int64_t slab,
                                                   float* to) {
      for (int v = 0; v < vectors; ++v)
        tiles.transform_map(piece[v], map, ahead, slab, vectors * lanes, to + v * lanes);
    }

    // One filter's products back to pixels.
    OPENWORK_INLINE_MEMBER void write_output(const float* products, int64_t slab, int row,
                                             const EpilogueWriter& writer) {
      for (int v = 0; v < vectors; ++v)
        tiles.write_pixels(piece[v], products + v * lanes, slab, row, writer);
    }

   private:
    const RowTiles& tiles;
    int vectors;
    Piece piece[Most][M];
  };

 private:
  Piece piece(int64_t vector, int k) const {
    const Geometry& g = geometry;
    const int slot = k / slot_pixels;
    const int part = static_cast<int>(vector % pieces);
    const int64_t row = pieces > 1 ? vector / pieces : vector * slots + slot;
    const int64_t image = row / down;
    const int tile_y = static_cast<int>(row % down);
    const int within = k % slot_pixels * lanes;
    const int x = part * piece_tiles * M + within;
    const int tiles_end = (part + 1) * piece_tiles * M;
    const int left = x - g.pad_x;
    Piece p;
    p.y = tile_y * M - g.pad_y;
    p.input = image * images.in_image + static_cast<int64_t>(p.y) * g.width + left;
    p.output = image * images.out_image + static_cast<int64_t>(tile_y) * M * g.out_width + x;
    const bool live = row < rows;
    p.first = larger(0, smaller(lanes, -left));
    p.last = live ? larger(p.first, smaller(lanes, g.width - left)) : p.first;
    p.rows = live ? smaller(M, g.out_height - tile_y * M) : 0;
    p.count = larger(0, smaller(smaller(g.out_width, tiles_end) - x, lanes));
    return p;
  }

  // Vertically on vectors of pixels first, then split into phases (vectors of every M-th pixel),
  // then horizontally on vectors of tiles.
  OPENWORK_INLINE_MEMBER void transform_channel(const Piece (&piece)[M], const float* channel,
                                                int64_t ahead, int64_t slab, int64_t next,
                                                float* to) const {
    const Geometry& g = geometry;
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
      OPENWORK_NAMESPACE::transform_input(d, u);
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
      OPENWORK_NAMESPACE::transform_input(d, u);
      store_row(u, i, slab, next, to);
    }
  }

  OPENWORK_INLINE_MEMBER void transform_map(const Piece (&piece)[M], const float* map,
                                            int64_t ahead, int64_t slab, int64_t next,
                                            float* to) const {
    const Geometry& g = geometry;
    vec half[N][M];
#pragma GCC unroll 4
    for (int k = 0; k < M; ++k) {
      const Piece& p = piece[k];
      const float* from = map + p.output;
      const int count = smaller(p.count, lanes);
      prefetch_rows<M>(from + ahead, g.out_width, p.rows, count);
      vec y[M], u[N];
#pragma GCC unroll 4
      for (int r = 0; r < M; ++r)
        y[r] = r < p.rows && count > 0
                   ? load_lanes(from + static_cast<int64_t>(r) * g.out_width, 0, count)
                   : vec{};
      OPENWORK_NAMESPACE::transform_gradient(y, u);
#pragma GCC unroll 6
      for (int i = 0; i < N; ++i) half[i][k] = u[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < N; ++i) {
      split<M>(half[i]);
      vec u[N];
      OPENWORK_NAMESPACE::transform_gradient(half[i], u);
      store_row(u, i, slab, next, to);
    }
  }

  OPENWORK_INLINE_MEMBER void write_pixels(const Piece (&piece)[M], const float* products,
                                           int64_t slab, int row,
                                           const EpilogueWriter& writer) const {
    const Geometry& g = geometry;
    const vec bias = writer.bias(row);
    vec y[M][M];
    transform_products<M>(products, slab, [&](const vec(&column)[M], int j) {
#pragma GCC unroll 4
      for (int r = 0; r < M; ++r) y[r][j] = column[r] + bias;
    });
    const int64_t map = static_cast<int64_t>(g.out_height) * g.out_width;
#pragma GCC unroll 4
    for (int r = 0; r < M; ++r) {
      join<M>(y[r]);
#pragma GCC unroll 4
      for (int k = 0; k < M; ++k)
        if (r < piece[k].rows)
          writer.write_tail(y[r][k],
                            piece[k].output + row * map + static_cast<int64_t>(r) * g.out_width,
                            piece[k].count);
    }
  }

  const Geometry& geometry;
  Images images;
  int down;         // rows of tiles per image
  int64_t rows;     // rows of tiles in all images
  int slots;        // rows of tiles in one vector
  int slot_pixels;  // vectors of pixels in one slot
  int pieces;       // vectors that one row of tiles takes, 1 if slots > 1
  int piece_tiles;  // tiles in each of them but the last
  int64_t all;      // vectors
  ivec has_next;    // all bits set in lanes whose next lane is the right neighbour
};

}  // namespace openwork::OPENWORK_NAMESPACE
