// Rows of a map as whole depthwise kernels read them, where they lie: vectors of columns, of which
// those outside the map are zero.
#pragma once
#include "../problem.h"
#include "shuffle.h"

namespace openwork::OPENWORK_NAMESPACE {

template <int K, int S>
struct Shape {
  static constexpr int k = K, s = S;
};

template <class... S>
struct Shapes {};

using AllShapes =
    Shapes<Shape<3, 1>, Shape<3, 2>, Shape<5, 1>, Shape<5, 2>, Shape<7, 1>, Shape<7, 2>>;

// Calls `body(S{})` for the shape of whole kernels; false if there is none.
template <class Body, class... S>
OPENWORK_INLINE bool with_shape(Shapes<S...>, const Geometry& g, const Body& body) {
  const bool square = g.kernel_x == g.kernel_y && g.stride_x == g.stride_y && g.dilation_x == 1 &&
                      g.dilation_y == 1;
  return square && ((g.kernel_y == S::k && g.stride_y == S::s && (body(S{}), true)) || ...);
}

// Bits of the columns [column, column + count), at most a vector of them, that lie inside the map.
OPENWORK_INLINE uint32_t inside(int width, int column, int count) {
  const int first = larger(0, -column), last = smaller(smaller(lanes, count), width - column);
  return first < last ? lane_bits(first, last) : 0;
}

// What lies inside the map of the columns that some of a vector's outputs read, for each kx: bits
// of the floats of one or, at stride 2, two vectors.
template <class S>
struct Columns {
  int x = -1;  // first output
  uint32_t low[S::k] = {}, high[S::k] = {};

  // Of outputs [first, first + count).
  void find(const Geometry& g, int first, int count) {
    if (x == first) return;
    x = first;
    for (int kx = 0; kx < S::k; ++kx) {
      const int column = x * S::s - g.pad_x + kx;
      low[kx] = inside(g.width, column, S::s * count);
      high[kx] = inside(g.width, column + lanes, S::s * count - lanes);
    }
  }
};

// What each column of a kernel reads of one input row, at stride 2 not in order (shuffle.h). With
// `Edge`, some columns are padding.
template <class S, bool Edge>
OPENWORK_INLINE void read_row(const float* from, const Columns<S>& columns, vec (&held)[S::k]) {
#pragma GCC unroll 8
  for (int kx = 0; kx < S::k; kx += S::s) {
    held[kx] = Edge ? load_masked(from + kx, columns.low[kx]) : load(from + kx);
    if constexpr (S::s == 2) {
      const float* right = from + kx + lanes;
      const vec low = held[kx];
      const vec high = Edge ? load_masked(right, columns.high[kx]) : load(right);
      held[kx] = every_second_unordered(low, high, 0);
      if (kx + 1 < S::k) held[kx + 1] = every_second_unordered(low, high, 1);
    }
  }
}

}  // namespace openwork::OPENWORK_NAMESPACE
