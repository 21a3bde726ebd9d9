// f32-conv-direct: whole live kernels; one loaded input vector feeds every row that needs it.
#include "direct_maps.h"
#include "epilogue.h"
#include "planes.h"
#include "table.h"
#include "tiles.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

template <int KY, int KX>
struct Shape {
  static constexpr int ky = KY, kx = KX;
};

template <class... S>
struct Shapes {};

// Where row reuse beats gathered pixels (spmm.cpp): few channels or large kernels, low densities.
using AllShapes = Shapes<Shape<3, 3>, Shape<5, 5>>;

// A pointer that the compiler cannot trace: with few registers it would keep the offset of each
// load of a tile in memory, set up again for each tile, which took as long as two kernels.
OPENWORK_INLINE const float* as_register(const float* at) {
  if constexpr (registers == 16) asm("" : "+r"(at));
  return at;
}

// Adds one live kernel to the tile. Column by column: input row r feeds output row r - ky.
template <class S, int R, int V>
OPENWORK_INLINE void add_kernel(vec (&sum)[R][V], const float* x, int64_t columns,
                                const float* weight) {
  constexpr int rows = R + S::ky - 1;
  // Three rows of each pointer: none, one or two times `columns` away.
  const float* from[(rows + 2) / 3];
#pragma GCC unroll 8
  for (int i = 0; i < (rows + 2) / 3; ++i) from[i] = as_register(x + 3 * i * columns);
#pragma GCC unroll 8
  for (int kx = 0; kx < S::kx; ++kx, weight += S::ky) {
#pragma GCC unroll 24
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const vec held = load(from[r / 3] + r % 3 * columns + kx + v * lanes);
#pragma GCC unroll 8
        for (int ky = 0; ky < S::ky; ++ky)
          if (r - ky >= 0 && r - ky < R) sum[r - ky][v] += broadcast(weight[ky]) * held;
      }
    }
  }
}

template <class S, int R, int V>
OPENWORK_INLINE void run_tile(const DirectPlan& plan, const PlanesLayout& layout,
                              const EpilogueWriter& writer, const float* planes, int64_t image,
                              int filter, int y, int x) {
  const Geometry& g = plan.geometry;
  vec sum[R][V];
  const vec bias = writer.bias(filter);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sum[r][v] = bias;
  const float* at = planes + static_cast<int64_t>(y) * layout.columns + x;
  for (int64_t i = plan.start[filter]; i < plan.start[filter + 1]; ++i)
    add_kernel<S, R, V>(sum, at + plan.index[i] * layout.channel, layout.columns,
                        plan.weight + i * (S::ky * S::kx));
  const int64_t out = image + (static_cast<int64_t>(filter) * g.out_height + y) * g.out_width + x;
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    if (y + r >= g.out_height) break;
    writer.write_line<V>(sum[r], out + static_cast<int64_t>(r) * g.out_width, g.out_width - x);
  }
}

// One row of tiles of filters [first, last). Out of line: it is called from two places.
template <class S, int R, int V>
__attribute__((noinline)) void run_row(const DirectPlan& plan, const PlanesLayout& layout,
                                       const EpilogueWriter& writer, const float* planes,
                                       int64_t image, int tile_y, int first, int last) {
  for (int filter = first; filter < last; ++filter)
    for (int x = 0; x < plan.geometry.out_width; x += V * lanes)
      run_tile<S, R, V>(plan, layout, writer, planes, image, filter, tile_y * R, x);
}

template <class S, int R, int V>
void run_shape(const DirectPlan& plan, const Run& run) {
  const Geometry& g = plan.geometry;
  const PlanesLayout layout(g);
  const EpilogueWriter writer(plan.epilogue, run);
  over_tiles(g, layout, run, padded_floats(g, R, V), ceil_div(g.out_height, R),
             [&](const float* planes, int64_t image, int tile_y, int first, int last) {
               run_row<S, R, V>(plan, layout, writer, planes, image * run.out_image, tile_y, first,
                                last);
             });
}

template <class Body, class... S>
OPENWORK_INLINE bool with_shape(Shapes<S...>, const Geometry& g, const Body& body) {
  return ((g.kernel_y == S::ky && g.kernel_x == S::kx && (body(S{}), true)) || ...);
}

// No tile: down whole maps (direct_maps.h).
OPENWORK_INLINE bool takes_maps(const DirectPlan& plan) {
  return plan.rows == 0 && plan.vectors == 0;
}

void run(const DirectPlan& plan, const Run& run) {
  if (takes_maps(plan)) return run_maps(plan, run);
  with_shape(AllShapes{}, plan.geometry, [&]<class S>(S) {
    with_rows(RowTiles{}, plan.rows, plan.vectors,
              [&]<int R, int V>() { run_shape<S, R, V>(plan, run); });
  });
}

int64_t workspace(const DirectPlan& plan, int batch, int threads) {
  const int rows = takes_maps(plan) ? 1 : plan.rows, vectors = takes_maps(plan) ? 1 : plan.vectors;
  return padded_floats(plan.geometry, rows, vectors, batch, threads);
}

const char* refusal(const DirectPlan& plan) {
  const Geometry& g = plan.geometry;
  if (g.dilation_y != 1 || g.dilation_x != 1) return "dilated";
  if (g.stride_y != 1 || g.stride_x != 1) return "strided";
  if (takes_maps(plan)) {
    if (g.kernel_y != 3 || g.kernel_x != 3) return "not 3x3";
    return band_rows(g) > 0 ? nullptr : "a row of sums does not fit";
  }
  if (!with_shape(AllShapes{}, g, [](auto) {})) return "no template for this kernel";
  if (!with_rows(RowTiles{}, plan.rows, plan.vectors, []<int R, int V>() {})) return "no such tile";
  return nullptr;
}

}  // namespace

const Kernel<DirectPlan> direct{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
