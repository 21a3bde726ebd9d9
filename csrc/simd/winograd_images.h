// Tiles of different images in the lanes: a vector holds the same tile of `lanes` images, so that
// its lanes are full however small the maps are.
//
// Pixels are read and written through transposed copies of the patch of the map that the tiles of
// a block cover: a vector of it holds one pixel of all those images. The copies are small enough
// for the L1 cache.
#pragma once
#include "winograd_rows.h"

namespace openwork::OPENWORK_NAMESPACE {

// The pixels of one map inside a rectangle that may reach over its edges, and their places in a
// transposed copy of it.
struct Rectangle {
  int64_t from;       // the first pixel
  int line;           // floats from row to row
  int rows, columns;  // of pixels inside the map
  float* copy;        // of the whole rectangle
  int pitch;          // pixels from row to row of the copy
  float* inner;       // place of the first pixel

  Rectangle(int y, int height, int map_height, int x, int width, int map_width, float* copy)
      : line(map_width), copy(copy), pitch(width) {
    const int top = larger(y, 0), left = larger(x, 0);
    from = static_cast<int64_t>(top) * line + left;
    rows = larger(0, smaller(y + height, map_height) - top);
    columns = larger(0, smaller(x + width, map_width) - left);
    inner = copy + (static_cast<int64_t>(top - y) * pitch + left - x) * lanes;
  }

  // Calls `body(from, first, count)` for runs of at most `lanes` pixels side by side in memory;
  // `first` counts pixels of the rectangle.
  template <class Body>
  OPENWORK_INLINE_MEMBER void over_runs(const Body& body) const {
    const bool whole = columns == line;
    const int length = whole ? rows * columns : columns;
    for (int row = 0; row < (whole ? 1 : rows); ++row)
      for (int i = 0; i < length; i += lanes)
        body(from + static_cast<int64_t>(row) * line + i, row * columns + i,
             smaller(lanes, length - i));
  }
};

// Places of consecutive pixels in a copy.
struct Walk {
  float* at;
  int column, columns;
  int64_t skip;

  Walk(const Rectangle& r, int first)
      : at(r.inner +
           (static_cast<int64_t>(first / r.columns) * r.pitch + first % r.columns) * lanes),
        column(first % r.columns),
        columns(r.columns),
        skip(static_cast<int64_t>(r.pitch - r.columns) * lanes) {}

  OPENWORK_INLINE_MEMBER float* next() {
    float* here = at;
    at += lanes;
    if (++column == columns) column = 0, at += skip;
    return here;
  }
};

// From `images` images, `image` floats apart, to the copy; lanes without an image become zeros.
inline void copy_in(const Rectangle& r, const float* map, int64_t image, int images,
                    int64_t ahead) {
  r.over_runs([&](int64_t place, int first, int count) {
    const float* from = map + place;
    Walk walk(r, first);
    vec x[lanes];
    if (count == lanes && images == lanes) {
#pragma GCC unroll 16
      for (int i = 0; i < lanes; ++i) {
        x[i] = load(from + i * image);
        __builtin_prefetch(from + i * image + ahead, 0, 3);
      }
      transpose(x);
#pragma GCC unroll 16
      for (int i = 0; i < lanes; ++i) store(walk.next(), x[i]);
      return;
    }
    for (int i = 0; i < lanes; ++i)
      x[i] = i < images ? load_lanes(from + i * image, 0, count) : vec{};
    transpose(x);
    for (int i = 0; i < count; ++i) store(walk.next(), x[i]);
  });
}

// From the copy to the images.
inline void copy_out(const Rectangle& r, int64_t map, int64_t image, int images,
                     const EpilogueWriter& writer) {
  const bool plain = !writer.residual && writer.epilogue.activation == Activation::none;
  r.over_runs([&](int64_t place, int first, int count) {
    Walk walk(r, first);
    vec x[lanes];
    if (count == lanes && images == lanes && plain) {
#pragma GCC unroll 16
      for (int i = 0; i < lanes; ++i) x[i] = load(walk.next());
      transpose(x);
#pragma GCC unroll 16
      for (int i = 0; i < lanes; ++i) store(writer.output + place + map + i * image, x[i]);
      return;
    }
    for (int i = 0; i < lanes; ++i) x[i] = i < count ? load(walk.next()) : vec{};
    transpose(x);
    for (int i = 0; i < images; ++i) writer.write_tail(x[i], place + map + i * image, count);
  });
}

// Neighbouring tiles of one group of images that form a rectangle.
struct Patch {
  int64_t group;
  int images;  // of the group
  int tile_y, tile_x;
  int rows, columns;  // of tiles
  int first;          // vector of the block

  int count() const { return rows * columns; }

  // Calls `body(in copy, in slab)` for each tile.
  template <int M, class Copy, class Slab, class Body>
  OPENWORK_INLINE_MEMBER void over_tiles(Copy copy, int pitch, Slab slab, const Body& body) const {
    slab += first * lanes;
    for (int y = 0; y < rows; ++y)
      for (int x = 0; x < columns; ++x, slab += lanes)
        body(copy + (static_cast<int64_t>(y) * M * pitch + x * M) * lanes, slab);
  }
};

template <int M>
class ImageTiles {
 public:
  static constexpr int N = M + 2;

  ImageTiles(const Geometry& g, const Images& images)
      : geometry(g), images(images), across(ceil_div(g.out_width, M)) {
    tiles = static_cast<int64_t>(across) * ceil_div(g.out_height, M);
  }

  // Of tiles, in all images.
  int64_t vectors() const { return ceil_div(images.count, lanes) * tiles; }

  // `Most` vectors or fewer, from `begin` on. Those beyond the last are zeros.
  template <int Most>
  class Block {
   public:
    Block(const ImageTiles& tiles, int64_t begin, int vectors) : tiles(tiles), vectors(vectors) {
      clear(inputs, sizeof(inputs) / sizeof(float));
      clear(outputs, sizeof(outputs) / sizeof(float));
      const int64_t left = tiles.vectors() - begin;
      live = left < vectors ? static_cast<int>(left) : vectors;
      for (int at = 0; at < live; at += patch[patches++].count()) {
        patch[patches] = tiles.patch(begin + at, live - at);
        patch[patches].first = at;
      }
    }

    // One input channel.
    OPENWORK_INLINE_MEMBER void transform_input(const float* channel, int64_t ahead, int64_t slab,
                                                float* to) {
      const Geometry& g = tiles.geometry;
      for (int p = 0; p < patches; ++p) {
        const Patch& own = patch[p];
        const int y = own.tile_y * M - g.pad_y, x = own.tile_x * M - g.pad_x;
        float* copy = inputs + own.first * N * N * lanes;
        const int pitch = own.columns * M + 2;
        const Rectangle r(y, own.rows * M + 2, g.height, x, pitch, g.width, copy);
        copy_in(r, channel + own.group * lanes * tiles.images.in_image, tiles.images.in_image,
                own.images, ahead);
        own.template over_tiles<M>(copy, pitch, to, [&](const float* from, float* into) {
          vec half[N][N];
#pragma GCC unroll 6
          for (int j = 0; j < N; ++j) {
            vec d[N], u[N];
#pragma GCC unroll 6
            for (int i = 0; i < N; ++i) d[i] = load(from + (i * pitch + j) * lanes);
            OPENWORK_NAMESPACE::transform_input(d, u);
#pragma GCC unroll 6
            for (int i = 0; i < N; ++i) half[i][j] = u[i];
          }
#pragma GCC unroll 6
          for (int i = 0; i < N; ++i) {
            vec u[N];
            OPENWORK_NAMESPACE::transform_input(half[i], u);
            store_row(u, i, slab, vectors * lanes, into);
          }
        });
      }
      clear_rest(slab, to);
    }

    // One filter's gradient of its outputs.
    OPENWORK_INLINE_MEMBER void transform_gradient(const float* map, int64_t ahead, int64_t slab,
                                                   float* to) {
      for (int p = 0; p < patches; ++p) {
        const Patch& own = patch[p];
        const Rectangle r = output(own);
        copy_in(r, map + own.group * lanes * tiles.images.out_image, tiles.images.out_image,
                own.images, ahead);
        own.template over_tiles<M>(r.copy, r.pitch, to, [&](const float* from, float* into) {
          vec half[N][M];
#pragma GCC unroll 4
          for (int j = 0; j < M; ++j) {
            vec y[M], u[N];
#pragma GCC unroll 4
            for (int i = 0; i < M; ++i) y[i] = load(from + (i * r.pitch + j) * lanes);
            OPENWORK_NAMESPACE::transform_gradient(y, u);
#pragma GCC unroll 6
            for (int i = 0; i < N; ++i) half[i][j] = u[i];
          }
#pragma GCC unroll 6
          for (int i = 0; i < N; ++i) {
            vec u[N];
            OPENWORK_NAMESPACE::transform_gradient(half[i], u);
            store_row(u, i, slab, vectors * lanes, into);
          }
        });
      }
      clear_rest(slab, to);
    }

    // One filter's products back to pixels.
    OPENWORK_INLINE_MEMBER void write_output(const float* products, int64_t slab, int row,
                                             const EpilogueWriter& writer) {
      const Geometry& g = tiles.geometry;
      const int64_t map = static_cast<int64_t>(row) * g.out_height * g.out_width;
      const vec bias = writer.bias(row);
      for (int p = 0; p < patches; ++p) {
        const Patch& own = patch[p];
        const Rectangle r = output(own);
        own.template over_tiles<M>(r.copy, r.pitch, products, [&](float* to, const float* from) {
          transform_products<M>(from, slab, [&](const vec(&column)[M], int j) {
#pragma GCC unroll 4
            for (int i = 0; i < M; ++i) store(to + (i * r.pitch + j) * lanes, column[i] + bias);
          });
        });
        copy_out(r, own.group * lanes * tiles.images.out_image + map, tiles.images.out_image,
                 own.images, writer);
      }
    }

   private:
    Rectangle output(const Patch& own) {
      const Geometry& g = tiles.geometry;
      return Rectangle(own.tile_y * M, own.rows * M, g.out_height, own.tile_x * M, own.columns * M,
                       g.out_width, outputs + own.first * M * M * lanes);
    }

    OPENWORK_INLINE_MEMBER void clear_rest(int64_t slab, float* to) {
      for (int v = live; v < vectors; ++v)
        for (int position = 0; position < N * N; ++position)
          store(to + position * slab + v * lanes, vec{});
    }

    const ImageTiles& tiles;
    int vectors, live;
    int patches = 0;
    Patch patch[Most];
    // A patch of n tiles covers no more than n times the pixels of one.
    alignas(64) float inputs[Most * N * N * lanes];
    alignas(64) float outputs[Most * M * M * lanes];
  };

 private:
  // The tiles from vector `at` on that form a rectangle, `most` at most.
  Patch patch(int64_t at, int most) const {
    Patch p;
    p.group = at / tiles;
    const int tile = static_cast<int>(at % tiles);
    p.tile_y = tile / across, p.tile_x = tile % across;
    most = smaller(most, static_cast<int>(tiles) - tile);
    p.rows = p.tile_x == 0 && most >= across ? most / across : 1;
    p.columns = smaller(most, across - p.tile_x);
    p.images = smaller(lanes, images.count - static_cast<int>(p.group) * lanes);
    return p;
  }

  const Geometry& geometry;
  Images images;
  int across;     // tiles in a row of them
  int64_t tiles;  // in one image
};

// Outputs of a map up to which tiles of different images may lie in the lanes. Larger ones are
// spread over so many pages of memory that rows of tiles are as fast, though they fill half of the
// lanes: as fast at 16x16, 1.4 times as fast at 32x32.
constexpr int64_t most_mixed_pixels = 100;

// Calls `body` with the layout that takes fewer vectors.
template <int M, class Body>
OPENWORK_INLINE void with_tiles(const Geometry& g, const Images& images, const Body& body) {
  const RowTiles<M> rows(g, images);
  const ImageTiles<M> mixed(g, images);
  const int64_t pixels = static_cast<int64_t>(g.out_height) * g.out_width;
  if (pixels <= most_mixed_pixels && mixed.vectors() < rows.vectors())
    body(mixed);
  else
    body(rows);
}

}  // namespace openwork::OPENWORK_NAMESPACE
