// f32-conv-direct: whole live kernels, one loaded input vector feeds every row that needs it.
#include <omp.h>

#include "epilogue.h"
#include "planes.h"
#include "table.h"
#include "tiles.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

template <int KY, int KX, int SY, int SX>
struct Shape {
  static constexpr int ky = KY, kx = KX, sy = SY, sx = SX;
};

template <class... S>
struct Shapes {};

// Others run tap by tap (taps.cpp): these are the shapes of common networks.
using AllShapes = Shapes<Shape<3, 3, 1, 1>, Shape<3, 3, 2, 2>, Shape<5, 5, 1, 1>, Shape<7, 1, 1, 1>,
                         Shape<1, 7, 1, 1>, Shape<3, 1, 1, 1>, Shape<1, 3, 1, 1>>;

// Adds one live kernel to the tile. Column by column: input row r of a y phase feeds output row
// r - j through tap ky = phase + SY * j.
template <class S, int R, int V>
OPENWORK_INLINE void add_kernel(vec (&sum)[R][V], const float* x, const PlanesLayout& layout,
                                const float* weight) {
#pragma GCC unroll 8
  for (int kx = 0; kx < S::kx; ++kx, weight += S::ky) {
#pragma GCC unroll 4
    for (int phase = 0; phase < (S::sy < S::ky ? S::sy : S::ky); ++phase) {
      const float* in = x + (phase * S::sx + kx % S::sx) * layout.plane + kx / S::sx;
      const int taps = (S::ky - 1 - phase) / S::sy;
#pragma GCC unroll 24
      for (int r = 0; r < R + taps; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
          const vec held = load(in + r * layout.columns + v * lanes);
#pragma GCC unroll 8
          for (int j = 0; j <= taps; ++j)
            if (r - j >= 0 && r - j < R)
              sum[r - j][v] += broadcast(weight[phase + S::sy * j]) * held;
        }
      }
    }
  }
}

template <class S, int R, int V>
void run_tile(const DirectPlan& plan, const PlanesLayout& layout, const Finish& finish,
              const float* planes, int64_t image, int64_t out_image, int filter, int y, int x) {
  const Geometry& g = plan.geometry;
  vec sum[R][V];
  const vec bias = finish.bias(filter);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sum[r][v] = bias;
  const float* at = planes + static_cast<int64_t>(y) * layout.columns + x;
  for (int64_t i = plan.start[filter]; i < plan.start[filter + 1]; ++i)
    add_kernel<S, R, V>(sum, at + plan.index[i] * layout.channel, layout,
                        plan.weight + i * (S::ky * S::kx));
  const int64_t out =
      image * out_image + (static_cast<int64_t>(filter) * g.out_height + y) * g.out_width + x;
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    if (y + r >= g.out_height) break;
    finish.line<V>(sum[r], out + static_cast<int64_t>(r) * g.out_width, g.out_width - x);
  }
}

template <class S, int R, int V>
void run_shape(const DirectPlan& plan, const Run& run) {
  const Geometry& g = plan.geometry;
  const PlanesLayout layout(g);
  const Finish finish(plan.epilogue, run);
  const int down = ceil_div(g.out_height, R), across = ceil_div(g.out_width, V * lanes);
#pragma omp parallel num_threads(run.threads) if (run.threads > 1)
  for (int image = 0; image < run.batch; ++image) {
#pragma omp for schedule(static)
    for (int channel = 0; channel < g.in_channels; ++channel)
      pad_channel(g, layout,
                  run.input + image * run.in_image + static_cast<int64_t>(channel) * g.height * g.width,
                  run.workspace + channel * layout.channel);
    // All filters pass over one row of tiles before the next: its inputs stay in cache.
#pragma omp for schedule(dynamic, 4) collapse(2)
    for (int tile_y = 0; tile_y < down; ++tile_y)
      for (int filter = 0; filter < g.out_channels; ++filter)
        for (int tile_x = 0; tile_x < across; ++tile_x)
          run_tile<S, R, V>(plan, layout, finish, run.workspace, image, run.out_image, filter,
                            tile_y * R, tile_x * V * lanes);
  }
}

template <class Body, class... S>
OPENWORK_INLINE bool with_shape(Shapes<S...>, const Geometry& g, const Body& body) {
  return ((g.kernel_y == S::ky && g.kernel_x == S::kx && g.stride_y == S::sy &&
           g.stride_x == S::sx && (body(S{}), true)) ||
          ...);
}

void run(const DirectPlan& plan, const Run& run) {
  with_shape(AllShapes{}, plan.geometry, [&]<class S>(S) {
    with_rows(RowTiles{}, plan.rows, plan.vectors,
              [&]<int R, int V>() { run_shape<S, R, V>(plan, run); });
  });
}

// Tiles that hang over the map's edge read beyond the last channel, by less than one tile.
int64_t workspace(const DirectPlan& plan, int, int) {
  const PlanesLayout layout(plan.geometry);
  return layout.image + static_cast<int64_t>(plan.rows) * layout.columns +
         (plan.vectors + 1) * lanes;
}

const char* refusal(const DirectPlan& plan) {
  if (plan.geometry.dilation_y != 1 || plan.geometry.dilation_x != 1) return "dilated";
  if (!with_shape(AllShapes{}, plan.geometry, [](auto) {})) return "no template for this kernel";
  if (!with_rows(RowTiles{}, plan.rows, plan.vectors, []<int R, int V>() {})) return "no such tile";
  return nullptr;
}

}  // namespace

const Kernel<DirectPlan> direct{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
