// The rows of a convolution's sparse product: what one tap of one channel reads for a tile of
// consecutive output pixels, counted through all images.
#pragma once
#include "../problem.h"
#include "shuffle.h"
#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

// Without a 64-bit division, which takes as long as a hundred multiply-adds.
struct Quotient {
  int64_t whole, rest;

  OPENWORK_INLINE_MEMBER Quotient(int64_t a, int64_t b) : whole(0), rest(a) {
    if (a < b) return;
    if (a <= UINT32_MAX) {
      whole = static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
      rest = a - whole * b;
    } else {
      whole = a / b, rest = a % b;
    }
  }
};

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
      const Quotient place(at, map);
      const int64_t left = map - place.rest;
      const int count = static_cast<int>(left < end - at ? left : end - at);
      run[runs] = {place.whole, place.rest, static_cast<int>(at - begin), count};
      at += count;
    }
  }
};

// Lanes of one vector that lie evenly spaced in the input, with gaps or without.
struct Piece {
  int64_t from;        // what lane 0 would read, in channel 0; may lie outside the input
  uint32_t low, high;  // bits: lanes; at stride 2, floats of the first and second vector at `from`
};

// Whether vectors that lie inside the map are read without masks: a branch and a load take less
// time than a masked load of AVX2, whose mask takes four instructions.
constexpr bool plain_loads = lanes == 8;

// Writes the columns of a tile as they are read, vector by vector.
template <int V>
struct FloatColumns {
  float* to;

  OPENWORK_INLINE_MEMBER void put(int v, vec value) const { store(to + v * lanes, value); }
  OPENWORK_INLINE_MEMBER void next() { to += V * lanes; }
};

// Where the taps of one tile lie. What no piece covers is padding.
class Gather {
 public:
  static int64_t floats(const Geometry& g, int vectors) {
    const int64_t places = static_cast<int64_t>(g.kernel_y) * g.kernel_x * vectors;
    return places * (most(g) * static_cast<int64_t>(sizeof(Piece) / sizeof(float)) + 1) + 2;
  }

  // `memory` has as many floats as `floats` says.
  Gather(const Geometry& geometry, int64_t in_image, int64_t in_map, int vectors, float* memory)
      : g(geometry), in_image(in_image), in_map(in_map), vectors(vectors), most_(most(geometry)) {
    const int places = g.kernel_y * g.kernel_x * vectors;
    count = reinterpret_cast<int32_t*>(memory);
    const uintptr_t after = reinterpret_cast<uintptr_t>(memory + places);
    piece = reinterpret_cast<Piece*>((after + 7) / 8 * 8);
  }

  void find(int64_t begin, int64_t end) {
    for (int i = 0; i < g.kernel_y * g.kernel_x * vectors; ++i) {
      count[i] = 1;
      piece[static_cast<int64_t>(i) * most_] = {};
    }
    single = true;
    const Quotient start(begin, g.out_width);
    Quotient row(start.whole, g.out_height);
    int x = static_cast<int>(start.rest);
    for (int64_t at = begin; at < end; x = 0) {
      const int some = static_cast<int>(g.out_width - x < end - at ? g.out_width - x : end - at);
      for (int ky = 0; ky < g.kernel_y; ++ky) {
        const int y = static_cast<int>(row.rest) * g.stride_y + ky * g.dilation_y - g.pad_y;
        if (y < 0 || y >= g.height) continue;
        const int64_t line = row.whole * in_image + static_cast<int64_t>(y) * g.width;
        for (int kx = 0; kx < g.kernel_x; ++kx)
          add_row(ky * g.kernel_x + kx, line, kx * g.dilation_x - g.pad_x, x, some,
                  static_cast<int>(at - begin));
      }
      at += some;
      if (++row.rest == g.out_height) row.rest = 0, ++row.whole;
    }
  }

  // V vectors each of what `inputs` pairs of channel and tap read.
  template <int V, class Columns = FloatColumns<V>>
  OPENWORK_INLINE_MEMBER void read(const float* input, const int32_t* channel, const uint16_t* tap,
                                   int inputs, Columns to) const {
    if (g.stride_x == 1) return read_strided<V, 1>(input, channel, tap, inputs, to);
    if (g.stride_x == 2) return read_strided<V, 2>(input, channel, tap, inputs, to);
    read_strided<V, 0>(input, channel, tap, inputs, to);
  }

 private:
  template <int V, int Stride, class Columns>
  OPENWORK_INLINE_MEMBER void read_strided(const float* input, const int32_t* channel,
                                           const uint16_t* tap, int inputs, Columns to) const {
    if (single && g.kernel_y * g.kernel_x == 1) {
      Piece all[V];
      for (int v = 0; v < V; ++v) all[v] = piece[v * most_];
      for (int i = 0; i < inputs; ++i, to.next()) {
        const float* from = input + channel[i] * in_map;
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) to.put(v, take<Stride>(from, all[v]));
      }
      return;
    }
    for (int i = 0; i < inputs; ++i, to.next()) {
      const float* from = input + channel[i] * in_map;
      const Piece* pieces = piece + static_cast<int64_t>(tap[i]) * V * most_;
      const int32_t* counts = count + tap[i] * V;
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v, pieces += most_) {
        vec value = take<Stride>(from, pieces[0]);
        if (!single)
          for (int more = 1; more < counts[v]; ++more)
            value = (vec)((ivec)value | (ivec)take<Stride>(from, pieces[more]));
        to.put(v, value);
      }
    }
  }

  // Rows of outputs that one vector may touch.
  static int most(const Geometry& g) {
    return smaller(lanes, (lanes + g.out_width - 2) / g.out_width + 1);
  }

  // ceil(floats / stride), without a division where that is 1 or 2.
  OPENWORK_INLINE_MEMBER int columns(int floats) const {
    if (g.stride_x == 1) return floats;
    return g.stride_x == 2 ? (floats + 1) / 2 : ceil_div(floats, g.stride_x);
  }

  void add_row(int tap, int64_t line, int shift, int x, int some, int place) {
    // Outputs whose input column, x * stride + shift, lies in the map.
    const int first = shift >= 0 ? x : larger(x, columns(-shift));
    const int stop = smaller(x + some, g.width > shift ? columns(g.width - shift) : 0);
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
    int32_t& held = count[place];
    Piece* into = all + held - 1;
    const bool empty = (into->low | into->high) == 0;
    if (!empty && into->from != from) {
      ++into, ++held;
      single = false;
      *into = {};
    }
    into->from = from;
    if (g.stride_x == 2) {
      const uint64_t every_second = 0x55555555;
      const uint64_t bits = ((uint64_t{1} << 2 * last) - (uint64_t{1} << 2 * first)) & every_second;
      into->low |= static_cast<uint32_t>(bits & ((uint64_t{1} << lanes) - 1));
      into->high |= static_cast<uint32_t>(bits >> lanes);
    } else {
      into->low |= lane_bits(first, last);
    }
  }

  template <int Stride>
  OPENWORK_INLINE_MEMBER vec take(const float* channel, const Piece& p) const {
    const float* from = channel + p.from;
    if constexpr (Stride == 1) {
      if (plain_loads && p.low == lane_bits(0, lanes)) return load(from);
      return load_masked(from, p.low);
    }
    if constexpr (Stride == 2) {
      // The last float that is read is that of the last lane: the next may lie behind the input.
      if (plain_loads && (p.low & p.high) == lane_bits(0, lanes) / 3)
        return every_second_to(load(from), load(from + lanes - 1), Lanes{});
      return every_second(load_masked(from, p.low), load_masked(from + lanes, p.high), Lanes{}, 0);
    }
    vec value{};
    for (int lane = 0; lane < lanes; ++lane)
      if (p.low >> lane & 1) value[lane] = from[static_cast<int64_t>(lane) * g.stride_x];
    return value;
  }

  const Geometry& g;
  int64_t in_image, in_map;
  int vectors;
  int most_;           // pieces that one vector may have
  bool single = true;  // one piece for each vector
  int32_t* count;
  Piece* piece;
};

}  // namespace openwork::OPENWORK_NAMESPACE
