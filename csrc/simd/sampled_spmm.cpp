// f32-grad-spmm: the weight's gradient of any convolution. Tiles of pixels are gathered as for the
// sparse product, and every live entry of the matrix sums its column times its filter's gradient.
#include <omp.h>

#include "gather.h"
#include "sampled.h"
#include "table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

struct Scratch {
  int64_t columns, gradients, gather;  // floats of each; `gather` for each thread

  explicit Scratch(const SampledSpmmPlan& plan) {
    const int64_t tile = static_cast<int64_t>(plan.vectors) * lanes;
    columns = plan.samples.inputs * tile;
    gradients = plan.samples.rows * tile;
    gather = round_up(Gather::floats(plan.geometry, plan.vectors), 16);
  }
  int64_t all(int threads) const { return columns + gradients + gather * threads; }
};

// One filter's gradient for a tile of pixels, zeros after the last.
template <int V>
OPENWORK_INLINE void copy_row(const PixelTile& tile, const float* map, int64_t image, int count,
                              float* to) {
  for (int r = 0; r < tile.runs; ++r) {
    const PixelRun& run = tile.run[r];
    const float* from = map + run.image * image + run.pixel;
    for (int i = 0; i < run.count; i += lanes) {
      const int some = smaller(lanes, run.count - i);
      store_lanes(to + run.first + i, load_lanes(from + i, 0, some), some);
    }
  }
  for (int i = count; i < V * lanes; ++i) to[i] = 0.f;
}

template <int V>
void run_tiles(const SampledSpmmPlan& plan, const SampledRun& run) {
  const Geometry& g = plan.geometry;
  const Samples& samples = plan.samples;
  const Scratch scratch(plan);
  const int64_t in_map = static_cast<int64_t>(g.height) * g.width;
  const int64_t out_map = static_cast<int64_t>(g.out_height) * g.out_width;
  const int64_t pixels = run.batch * out_map;
  const int parts = sampled_parts(samples.rows, run.threads);
  const int slices = run.threads == 1 ? 1 : smaller(samples.inputs, run.threads * 4);
  float* columns = run.workspace;
  float* gradients = columns + scratch.columns;
#pragma omp parallel num_threads(run.threads) if (run.threads > 1)
  {
    Gather gather(g, run.in_image, static_cast<int64_t>(g.height) * g.width, V,
                  gradients + scratch.gradients + omp_get_thread_num() * scratch.gather);
    for (int64_t begin = 0; begin < pixels; begin += V * lanes) {
      const int64_t end = pixels - begin < V * lanes ? pixels : begin + V * lanes;
      const PixelTile tile(g, begin, end);
      const PixelRun& start = tile.run[0];
      const int count = static_cast<int>(end - begin);
      const bool in_place = plan.in_place && tile.runs == 1 && count == V * lanes;
      const float* x = columns;
      const float* y = gradients;
      int64_t x_stride = V * lanes, y_stride = V * lanes;
      if (in_place) {
        x = run.input + start.image * run.in_image + start.pixel;
        y = run.gradient + start.image * run.out_image + start.pixel;
        x_stride = in_map, y_stride = out_map;
      } else {
        gather.find(begin, end);
#pragma omp for schedule(static) nowait
        for (int slice = 0; slice < slices; ++slice) {
          const int first = sampled_begin(samples.inputs, slice, slices);
          const int last = sampled_begin(samples.inputs, slice + 1, slices);
          gather.read<V>(run.input, plan.channel + first, plan.tap + first, last - first,
                         FloatColumns<V>{columns + static_cast<int64_t>(first) * V * lanes});
        }
#pragma omp for schedule(static)
        for (int row = 0; row < samples.rows; ++row)
          copy_row<V>(tile, run.gradient + row * out_map, run.out_image, count,
                      gradients + static_cast<int64_t>(row) * V * lanes);
      }
#pragma omp for schedule(dynamic, 1)
      for (int part = 0; part < parts; ++part)
        sample_rows<V>(samples, x, x_stride, y, y_stride, sampled_begin(samples.rows, part, parts),
                       sampled_begin(samples.rows, part + 1, parts), begin > 0, run.output);
    }
  }
}

void run(const SampledSpmmPlan& plan, const SampledRun& run) {
  with_vectors(plan.vectors, [&]<int V>() { run_tiles<V>(plan, run); });
}

int64_t workspace(const SampledSpmmPlan& plan, int, int threads) {
  return Scratch(plan).all(threads);
}

const char* refusal(const SampledSpmmPlan& plan) {
  return with_vectors(plan.vectors, []<int V>() {}) ? nullptr : "no such tile";
}

}  // namespace

const Kernel<SampledSpmmPlan, SampledRun> sampled_spmm{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
