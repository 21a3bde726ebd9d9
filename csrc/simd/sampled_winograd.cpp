// f32-grad3x3-winograd: the weight's gradient of 3x3 convolutions with stride 1 as F(3x3, 4x4):
// 36 multiply-adds for each live connection and tile instead of 144.
#include "sampled.h"
#include "table.h"
#include "winograd_images.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

constexpr int outputs = 4;
constexpr int side = outputs + 2;
constexpr int positions = side * side;

struct Scratch {
  Slabs slabs;
  int64_t sums;  // floats of one position

  explicit Scratch(const SampledWinogradPlan& plan)
      : slabs(positions, plan.samples.inputs, plan.samples.rows, plan.vectors),
        sums(round_up(plan.samples.live, 16)) {}
  int64_t all() const { return slabs.all + positions * sums; }
};

// The sums of `lanes` connections back to their taps.
OPENWORK_INLINE void write_taps(const SampledWinogradPlan& plan, const float* sums, int64_t slab,
                                int64_t first, float* output) {
  const int64_t left = plan.samples.live - first;
  const int count = left < lanes ? static_cast<int>(left) : lanes;
  vec half[3][side];
  float taps[9][lanes];
#pragma GCC unroll 6
  for (int j = 0; j < side; ++j) {
    vec s[side], g[3];
#pragma GCC unroll 6
    for (int i = 0; i < side; ++i)
      s[i] = load_lanes(sums + (i * side + j) * slab + first, 0, count);
    transform_sums(s, g);
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) half[i][j] = g[i];
  }
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
    vec g[3];
    transform_sums(half[i], g);
#pragma GCC unroll 3
    for (int j = 0; j < 3; ++j) store(taps[i * 3 + j], g[j]);
  }
  for (int lane = 0; lane < count; ++lane)
    for (int t = 0; t < 9; ++t) {
      const int64_t at = (first + lane) * 9 + t;
      const int64_t place = plan.tap ? plan.tap[at] : at;
      if (place >= 0) output[place] = taps[t][lane];
    }
}

template <int V, class Tiles>
void run_blocks(const SampledWinogradPlan& plan, const SampledRun& run, const Tiles& tiles) {
  const Geometry& g = plan.geometry;
  const Samples& samples = plan.samples;
  const Scratch scratch(plan);
  const Slabs& slabs = scratch.slabs;
  const int64_t in_map = static_cast<int64_t>(g.height) * g.width;
  const int64_t out_map = static_cast<int64_t>(g.out_height) * g.out_width;
  const int parts = run.threads == 1 ? 1 : smaller(samples.rows, ceil_div(run.threads * 4, side));
  float* inputs = run.workspace;
  float* gradients = inputs + positions * slabs.in_slab;
  float* sums = gradients + positions * slabs.out_slab;
#pragma omp parallel num_threads(run.threads) if (run.threads > 1)
  {
    for (int64_t begin = 0; begin < tiles.vectors(); begin += V) {
      typename Tiles::template Block<V> block(tiles, begin, V);
#pragma omp for schedule(static) nowait
      for (int channel = 0; channel < samples.inputs; ++channel)
        block.transform_input(run.input + channel * in_map, channels_ahead * in_map, slabs.in_slab,
                              inputs + static_cast<int64_t>(channel) * V * lanes);
#pragma omp for schedule(static)
      for (int row = 0; row < samples.rows; ++row)
        block.transform_gradient(run.gradient + row * out_map, channels_ahead * out_map,
                                 slabs.out_slab, gradients + static_cast<int64_t>(row) * V * lanes);
#pragma omp for schedule(dynamic, 1)
      for (int item = 0; item < positions * parts; ++item) {
        const int position = item / parts, part = item % parts;
        sample_rows<V>(samples, inputs + position * slabs.in_slab, V * lanes,
                       gradients + position * slabs.out_slab, V * lanes,
                       sampled_begin(samples.rows, part, parts),
                       sampled_begin(samples.rows, part + 1, parts), begin > 0,
                       sums + position * scratch.sums);
      }
    }
#pragma omp for schedule(static)
    for (int64_t first = 0; first < samples.live; first += lanes)
      write_taps(plan, sums, scratch.sums, first, run.output);
  }
}

void run(const SampledWinogradPlan& plan, const SampledRun& run) {
  const Images images{run.in_image, run.out_image, run.batch};
  with_tiles<outputs>(plan.geometry, images, [&](const auto& tiles) {
    with_vectors(plan.vectors, [&]<int V>() { run_blocks<V>(plan, run, tiles); });
  });
}

int64_t workspace(const SampledWinogradPlan& plan, int, int) { return Scratch(plan).all(); }

const char* refusal(const SampledWinogradPlan& plan) {
  return with_vectors(plan.vectors, []<int V>() {}) ? nullptr : "no such tile";
}

}  // namespace

const Kernel<SampledWinogradPlan, SampledRun> sampled_winograd{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
