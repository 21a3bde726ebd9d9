// f32-conv-taps: single live taps, any kernel, stride, padding, dilation and groups.
#include "epilogue.h"
#include "planes.h"
#include "table.h"
#include "tiles.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

template <int R, int V>
OPENWORK_INLINE void add_taps(vec (&sum)[R][V], const TapsPlan& plan, int filter, const float* at,
                              int columns) {
  for (int64_t i = plan.start[filter]; i < plan.start[filter + 1]; ++i) {
    const float* x = at + plan.offset[i];
    const vec w = broadcast(plan.weight[i]);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) sum[r][v] += w * load(x + r * columns + v * lanes);
  }
}

// Writes the pixels of a flat tile, which begins at float `first` of the padded map: the columns
// beyond the output's width hold nothing of use.
template <int V>
void write_flat(const Geometry& g, const EpilogueWriter& writer, const vec (&sum)[1][V],
                int columns, int first, int64_t map) {
  float line[(V + 1) * lanes];
  for (int v = 0; v < V; ++v) store(line + v * lanes, sum[0][v]);
  for (int y = first / columns; y < g.out_height && y * columns < first + V * lanes; ++y) {
    const int begin = larger(0, first - y * columns);
    const int end = smaller(g.out_width, first + V * lanes - y * columns);
    for (int x = begin; x < end; x += lanes)
      writer.write_tail(load(line + y * columns + x - first), map + y * g.out_width + x, end - x);
  }
}

template <int R, int V>
void write_rows(const Geometry& g, const EpilogueWriter& writer, const vec (&sum)[R][V], int y,
                int x, int64_t map) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    if (y + r >= g.out_height) break;
    writer.write_line<V>(sum[r], map + static_cast<int64_t>(y + r) * g.out_width + x,
                         g.out_width - x);
  }
}

template <int R, int V>
OPENWORK_INLINE void run_tile(const TapsPlan& plan, const PlanesLayout& layout,
                              const EpilogueWriter& writer, const float* planes, int64_t image,
                              int filter, int y, int x) {
  const Geometry& g = plan.geometry;
  vec sum[R][V];
  const vec bias = writer.bias(filter);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sum[r][v] = bias;
  add_taps<R, V>(sum, plan, filter, planes + static_cast<int64_t>(y) * layout.columns + x,
                 layout.columns);
  const int64_t map = image + static_cast<int64_t>(filter) * g.out_height * g.out_width;
  if constexpr (R == 1) {
    if (plan.flat) return write_flat<V>(g, writer, sum, layout.columns, x, map);
  }
  write_rows<R, V>(g, writer, sum, y, x, map);
}

// One row of tiles of filters [first, last); `width`: floats of a row. Out of line: it is called
// from two places.
template <int R, int V>
__attribute__((noinline)) void run_row(const TapsPlan& plan, const PlanesLayout& layout,
                                       const EpilogueWriter& writer, const float* planes,
                                       int64_t image, int tile_y, int width, int first, int last) {
  for (int filter = first; filter < last; ++filter)
    for (int x = 0; x < width; x += V * lanes)
      run_tile<R, V>(plan, layout, writer, planes, image, filter, tile_y * R, x);
}

template <int R, int V>
void run_tiles(const TapsPlan& plan, const Run& run) {
  const Geometry& g = plan.geometry;
  const PlanesLayout layout(g);
  const EpilogueWriter writer(plan.epilogue, run);
  const int width = plan.flat ? (g.out_height - 1) * layout.columns + g.out_width : g.out_width;
  over_tiles(g, layout, run, padded_floats(g, R, V), plan.flat ? 1 : ceil_div(g.out_height, R),
             [&](const float* planes, int64_t image, int tile_y, int first, int last) {
               run_row<R, V>(plan, layout, writer, planes, image * run.out_image, tile_y, width,
                             first, last);
             });
}

void run(const TapsPlan& plan, const Run& run) {
  with_rows(TapTiles{}, plan.rows, plan.vectors,
            [&]<int R, int V>() { run_tiles<R, V>(plan, run); });
}

int64_t workspace(const TapsPlan& plan, int batch, int threads) {
  return padded_floats(plan.geometry, plan.rows, plan.vectors, batch, threads);
}

const char* refusal(const TapsPlan& plan) {
  if (!with_rows(TapTiles{}, plan.rows, plan.vectors, []<int R, int V>() {})) return "no such tile";
  if (plan.flat && plan.rows != 1) return "a flat tile has one row";
  if (PlanesLayout(plan.geometry).image > most_padded_floats)
    return "padded input too large for offsets";
  return nullptr;
}

}  // namespace

const Kernel<TapsPlan> taps{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
