// Whole 3x3 kernels with stride 1, one map after another: each live kernel runs down its input map
// once and adds to its filter's sums, which stay in the L1 cache. Per row of a vector it loads
// three vectors of the input and one of sums for nine multiply-adds.
//
// Register tiles (direct.cpp) read a few rows of every channel for each filter: from 64 channels of
// 32x32 on, those rows fit no L1 cache of 32 KB, and tiles wait for L2. Here what a kernel reads
// lies in one piece.
#pragma once
#include "../plans.h"
#include "epilogue.h"
#include "planes.h"

namespace openwork::OPENWORK_NAMESPACE {

// Floats of a filter's sums that are worked on together: a quarter of the smallest L1 cache.
constexpr int most_map_sums = 2048;

// Rows of outputs in one band of a map; 0 if not one fits.
OPENWORK_INLINE int band_rows(const Geometry& g) {
  const int pitch = static_cast<int>(round_up(g.out_width, lanes));
  return smaller(g.out_height, most_map_sums / pitch);
}

// Adds one kernel to `rows` rows of a column of vectors: `x` is what the first row's tap (0, 0)
// reads. Three rows are open at a time: input row r feeds outputs r, r - 1 and r - 2.
OPENWORK_INLINE void add_column(const float* x, int64_t columns, const vec (&weight)[3][3],
                                int rows, float* sums, int64_t pitch) {
  // A product's three terms are summed before they are added: what waits for the row before is one
  // addition.
  const auto row = [&](int kx_row, const vec(&held)[3]) OPENWORK_INLINE_LAMBDA {
    return weight[0][kx_row] * held[0] + weight[1][kx_row] * held[1] + weight[2][kx_row] * held[2];
  };
  const auto hold = [&](vec(&held)[3]) OPENWORK_INLINE_LAMBDA {
#pragma GCC unroll 3
    for (int kx = 0; kx < 3; ++kx) held[kx] = load(x + kx);
    x += columns;
  };
  vec held[3];
  hold(held);
  vec above = load(sums) + row(0, held), far = above;
  hold(held);
  if (rows > 1) {
    far = above + row(1, held);
    above = load(sums + pitch) + row(0, held);
    for (int r = 2; r < rows; ++r) {
      hold(held);
      store(sums, far + row(2, held));
      sums += pitch;
      far = above + row(1, held);
      above = load(sums + pitch) + row(0, held);
    }
    hold(held);
    store(sums, far + row(2, held));
    sums += pitch;
  }
  far = above + row(1, held);
  hold(held);
  store(sums, far + row(2, held));
}

// Bands of rows of filters [first, last).
__attribute__((noinline)) static void run_band(const DirectPlan& plan, const PlanesLayout& layout,
                                               const EpilogueWriter& writer, const float* planes,
                                               int64_t image, int band, int first, int last) {
  const Geometry& g = plan.geometry;
  alignas(64) float sums[most_map_sums];
  const int64_t pitch = round_up(g.out_width, lanes);
  const int most = band_rows(g), top = band * most, rows = smaller(most, g.out_height - top);
  const float* from = planes + static_cast<int64_t>(top) * layout.columns;
  const int64_t out_map = static_cast<int64_t>(g.out_height) * g.out_width;
  for (int filter = first; filter < last; ++filter) {
    const vec bias = writer.bias(filter);
    for (int64_t i = 0; i < rows * pitch; i += lanes) store(sums + i, bias);
    const int64_t to = image + filter * out_map + static_cast<int64_t>(top) * g.out_width;
    // Fetched while the kernels run: stores would wait for each other's lines.
    for (int64_t i = 0; i < static_cast<int64_t>(rows) * g.out_width; i += 16)
      __builtin_prefetch(writer.output + to + i, 1);
    for (int64_t i = plan.start[filter]; i < plan.start[filter + 1]; ++i) {
      const float* x = from + plan.index[i] * layout.channel;
      vec weight[3][3];
#pragma GCC unroll 9
      for (int tap = 0; tap < 9; ++tap)
        weight[tap / 3][tap % 3] = broadcast(plan.weight[i * 9 + tap]);
      for (int64_t at = 0; at < pitch; at += lanes)
        add_column(x + at, layout.columns, weight, rows, sums + at, pitch);
    }
    for (int r = 0; r < rows; ++r) {
      const int64_t line = to + static_cast<int64_t>(r) * g.out_width;
      for (int at = 0; at < g.out_width; at += lanes) {
        const vec sum[1] = {load(sums + r * pitch + at)};
        if (g.out_width - at >= lanes)
          writer.write_line<1>(sum, line + at, lanes);
        else
          writer.write_tail(sum[0], line + at, g.out_width - at);
      }
    }
  }
}

OPENWORK_INLINE void run_maps(const DirectPlan& plan, const Run& run) {
  const Geometry& g = plan.geometry;
  const PlanesLayout layout(g);
  const EpilogueWriter writer(plan.epilogue, run);
  over_tiles(g, layout, run, padded_floats(g, 1, 1), ceil_div(g.out_height, band_rows(g)),
             [&](const float* planes, int64_t image, int band, int first, int last) {
               run_band(plan, layout, writer, planes, image * run.out_image, band, first, last);
             });
}

}  // namespace openwork::OPENWORK_NAMESPACE
