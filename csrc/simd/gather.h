// The rows of a convolution's sparse product: what one tap of one channel reads for a tile of
// consecutive output pixels, counted through all images.
#pragma once
#include "../problem.h"
#include "shuffle.h"
#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

// Pixels of one image, side by side in the output's memory.
struct PixelRun {
  int64_t image, pixel;  // of the first
  int first;             // place in the tile
  int count;
};

struct PixelTile {
  PixelRun run[16 * lanes];
  int runs = 0;

  PixelTile(const Geometry& geometry, int64_t begin, int64_t end) {
    const int64_t map = static_cast<int64_t>(geometry.out_height) * geometry.out_width;
    for (int64_t at = begin; at < end; ++runs) {
      const int64_t left = map - at % map;
      const int count = static_cast<int>(left < end - at ? left : end - at);
      run[runs] = {at / map, at % map, static_cast<int>(at - begin), count};
      at += count;
    }
  }
};

// Lanes of one vector that lie evenly spaced in the input.
struct Piece {
  int64_t from;              // what lane 0 would read, in channel 0; may lie outside the input
  uint8_t first, last;       // lanes
  uint8_t low, low_last;     // stride 2: floats of the first and of the second vector from `from` on
  uint8_t high, high_last;
};

// Where the taps of one tile lie. What no piece covers is padding.
class Gather {
 public:
  static int64_t floats(const Geometry& g, int vectors) {
    const int64_t places = static_cast<int64_t>(g.kernel_y) * g.kernel_x * vectors;
    return places * (most(g) * static_cast<int64_t>(sizeof(Piece) / sizeof(float)) + 1) + 2;
  }

  // `memory` has as many floats as `floats` says.
  Gather(const Geometry& geometry, int64_t in_image, int vectors, float* memory)
      : g(geometry), in_image(in_image), vectors(vectors), most_(most(geometry)) {
    const int places = g.kernel_y * g.kernel_x * vectors;
    count = reinterpret_cast<int32_t*>(memory);
    const uintptr_t after = reinterpret_cast<uintptr_t>(memory + places);
    piece = reinterpret_cast<Piece*>((after + 7) / 8 * 8);
  }

  void find(int64_t begin, int64_t end) {
    for (int i = 0; i < g.kernel_y * g.kernel_x * vectors; ++i) count[i] = 0;
    const int64_t rows = g.out_height;
    for (int64_t at = begin; at < end;) {
      const int64_t row = at / g.out_width;
      const int x = static_cast<int>(at % g.out_width);
      const int some = static_cast<int>(g.out_width - x < end - at ? g.out_width - x : end - at);
      for (int ky = 0; ky < g.kernel_y; ++ky) {
        const int y = static_cast<int>(row % rows) * g.stride_y + ky * g.dilation_y - g.pad_y;
        if (y < 0 || y >= g.height) continue;
        const int64_t line = row / rows * in_image + static_cast<int64_t>(y) * g.width;
        for (int kx = 0; kx < g.kernel_x; ++kx)
          add_row(ky * g.kernel_x + kx, line, kx * g.dilation_x - g.pad_x, x, some,
                  static_cast<int>(at - begin));
      }
      at += some;
    }
  }

  // V vectors of what tap `tap` reads in the channel at `channel`.
  template <int V>
  OPENWORK_INLINE_MEMBER void read(const float* channel, int tap, float* to) const {
    const int32_t* counts = count + tap * V;
    const Piece* pieces = piece + static_cast<int64_t>(tap) * V * most_;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v, pieces += most_) {
      vec value{};
      if (counts[v] > 0) value = take(channel, pieces[0]);
      for (int i = 1; i < counts[v]; ++i)
        value = (vec)((ivec)value | (ivec)take(channel, pieces[i]));
      store(to + v * lanes, value);
    }
  }

 private:
  // Rows of outputs that one vector may touch.
  static int most(const Geometry& g) {
    return smaller(lanes, (lanes + g.out_width - 2) / g.out_width + 1);
  }

  void add_row(int tap, int64_t line, int shift, int x, int some, int place) {
    // Outputs whose input column, x * stride + shift, lies in the map.
    const int first = shift >= 0 ? x : larger(x, ceil_div(-shift, g.stride_x));
    const int stop = smaller(x + some, g.width > shift ? ceil_div(g.width - shift, g.stride_x) : 0);
    for (int at = first; at < stop;) {
      const int lane = (place + at - x) % lanes;
      const int lanes_here = smaller(lanes - lane, stop - at);
      const int64_t from = line + static_cast<int64_t>(at - lane) * g.stride_x + shift;
      add(tap * vectors + (place + at - x) / lanes, from, lane, lane + lanes_here);
      at += lanes_here;
    }
  }

  void add(int place, int64_t from, int first, int last) {
    Piece* all = piece + static_cast<int64_t>(place) * most_;
    int& held = count[place];
    if (held > 0 && all[held - 1].from == from && all[held - 1].last == first)
      first = all[--held].first;
    const int ends = 2 * last - 1;
    all[held++] = {from,
                   static_cast<uint8_t>(first),
                   static_cast<uint8_t>(last),
                   static_cast<uint8_t>(smaller(lanes, 2 * first)),
                   static_cast<uint8_t>(smaller(lanes, ends)),
                   static_cast<uint8_t>(larger(0, 2 * first - lanes)),
                   static_cast<uint8_t>(larger(0, ends - lanes))};
  }

  OPENWORK_INLINE_MEMBER vec take(const float* channel, const Piece& p) const {
    const float* from = channel + p.from;
    if (g.stride_x == 1) return load_lanes(from, p.first, p.last);
    if (g.stride_x == 2) {
      vec low{}, high{};
      if (p.low < p.low_last) low = load_lanes(from, p.low, p.low_last);
      if (p.high < p.high_last) high = load_lanes(from + lanes, p.high, p.high_last);
      return every_second(low, high, Lanes{}, 0);
    }
    vec value{};
    for (int lane = p.first; lane < p.last; ++lane)
      value[lane] = from[static_cast<int64_t>(lane) * g.stride_x];
    return value;
  }

  const Geometry& g;
  int64_t in_image;
  int vectors;
  int most_;  // pieces that one vector may have
  int32_t* count;
  Piece* piece;
};

}  // namespace openwork::OPENWORK_NAMESPACE
