// Tiles of consecutive output pixels, counted through all images, for products of a matrix of
// weights with pixels: how they are shared out, and how finished sums are written.
#pragma once
#include "epilogue.h"
#include "gather.h"

namespace openwork::OPENWORK_NAMESPACE {

struct PixelTiling {
  int64_t pixels;
  int64_t vectors;
  int64_t tiles;
  int parts;  // shares of the filters, where tiles are fewer than threads

  // `most`: vectors in a tile; `shares`: most shares of the filters.
  PixelTiling(const Geometry& geometry, int most, int shares, int batch, int threads) {
    pixels = static_cast<int64_t>(batch) * geometry.out_height * geometry.out_width;
    vectors = (pixels + lanes - 1) / lanes;
    tiles = (vectors + most - 1) / most;
    parts = tiles >= threads ? 1 : static_cast<int>((threads + tiles - 1) / tiles);
    parts = smaller(parts, shares);
  }

  // Tiles differ by at most one vector, so that none is nearly empty.
  int64_t begin(int64_t tile) const { return vectors * tile / tiles; }
};

// For tiles that reach into a second image.
template <int V>
__attribute__((noinline)) static void write_runs(const EpilogueWriter& writer,
                                                 const PixelTile& tile, int64_t map,
                                                 int64_t out_image, const vec (&sum)[V]) {
  float line[(V + 1) * lanes];
  for (int v = 0; v < V; ++v) store(line + v * lanes, sum[v]);
  for (int r = 0; r < tile.runs; ++r) {
    const PixelRun& piece = tile.run[r];
    const int64_t to = piece.image * out_image + map + piece.pixel;
    for (int i = 0; i < piece.count; i += lanes)
      writer.write_tail(load(line + piece.first + i), to + i, piece.count - i);
  }
}

// Writes what V vectors hold for a tile's pixels in the map that starts at float `map`.
template <int V>
OPENWORK_INLINE void write_pixels(const EpilogueWriter& writer, const PixelTile& tile,
                                  int64_t out_image, int64_t map, const vec (&sum)[V]) {
  const PixelRun& first = tile.run[0];
  if (tile.runs > 1) {
    // A copy, so that the sums need not lie in memory from the start.
    vec copy[V];
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) copy[v] = sum[v];
    return write_runs<V>(writer, tile, map, out_image, copy);
  }
  writer.write_line<V>(sum, first.image * out_image + map + first.pixel, first.count);
}

}  // namespace openwork::OPENWORK_NAMESPACE
