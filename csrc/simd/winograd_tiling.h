// How the tiles of all images are laid into vectors so that pixels are read and written whole.
//
// A vector of tiles covers `M` vectors of pixels (M outputs per tile side). A tile also needs the
// first two pixels of its right neighbour, which it takes from the next lane; so a row of tiles
// keeps one lane free at its end, except where those pixels are known to be padding. Narrow maps
// put several rows of tiles, one per slot, into one vector; wide maps put one row into several
// vectors.
#pragma once
#include "../plans.h"
#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

// One vector of pixels, the k-th of its vector of tiles.
struct Piece {
  int64_t input;    // float of row 0, lane 0 in channel 0; may lie in the padding
  int64_t output;   // the same in filter 0 of the output
  int y;            // input row of row 0
  int first, last;  // lanes inside the input's width
  int rows, count;  // of the output inside its map; 0 for pieces beyond the last tile
};

template <int M>
struct Tiling {
  const Geometry& geometry;
  const Run& run;
  int down;         // rows of tiles per image
  int64_t rows;     // rows of tiles in all images
  int slots;        // rows of tiles in one vector
  int slot_pixels;  // vectors of pixels in one slot
  int pieces;       // vectors that one row of tiles takes, 1 if slots > 1
  int piece_tiles;  // tiles in each of them but the last
  int64_t vectors;  // of tiles, in all images
  ivec has_next;    // all bits set in lanes whose next lane is the right neighbour

  Tiling(const Geometry& g, const Run& run) : geometry(g), run(run) {
    const int across = ceil_div(g.out_width, M);
    down = ceil_div(g.out_height, M);
    rows = static_cast<int64_t>(run.batch) * down;
    const bool padded = g.width + g.pad_x <= M * across;
    const int needed = padded ? across : across + 1;
    slot_pixels = M;
    while (slot_pixels % 2 == 0 && needed <= slot_pixels / 2 * (lanes / M)) slot_pixels /= 2;
    slots = M / slot_pixels;
    pieces = needed <= lanes ? 1 : ceil_div(across, lanes - 1);
    piece_tiles = ceil_div(across, pieces);
    vectors = pieces > 1 ? rows * pieces : (rows + slots - 1) / slots;
    const int slot_tiles = lanes / slots;
    for (int lane = 0; lane < lanes; ++lane)
      has_next[lane] = lane % slot_tiles == slot_tiles - 1 ? 0 : -1;
  }

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
    p.input = image * run.in_image + static_cast<int64_t>(p.y) * g.width + left;
    p.output = image * run.out_image + static_cast<int64_t>(tile_y) * M * g.out_width + x;
    const bool live = row < rows;
    p.first = larger(0, smaller(lanes, -left));
    p.last = live ? larger(p.first, smaller(lanes, g.width - left)) : p.first;
    p.rows = live ? smaller(M, g.out_height - tile_y * M) : 0;
    p.count = larger(0, smaller(smaller(g.out_width, tiles_end) - x, lanes));
    return p;
  }
};

}  // namespace openwork::OPENWORK_NAMESPACE
