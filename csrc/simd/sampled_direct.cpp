// f32-grad3x3-direct: the weight's gradient of whole live 3x3 kernels with stride 1. Each
// connection runs down its two maps once, with all nine sums in registers: three loads of the input
// and one of the gradient feed nine multiply-adds.
#include "planes.h"
#include "sampled.h"
#include "table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

using Sums = vec[3][3];

// Images whose padded maps share L2: their sums stay in registers. Not more, so that few sums are
// added in float32.
constexpr int64_t cached_floats = 80 * 1024;
constexpr int most_images = 8;

struct Scratch {
  PlanesLayout layout;
  int images;

  explicit Scratch(const Geometry& g) : layout(g) {
    const int64_t fitting = cached_floats / layout.image;
    images = fitting < 1 ? 1 : fitting > most_images ? most_images : static_cast<int>(fitting);
  }
  int64_t floats() const { return images * layout.image + 2 * lanes; }
};

// Columns [0, count) of an output's gradient and its input, all rows. The map that is read next
// lies `ahead` floats after `y`: maps begin pages apart, where the processor's own prefetching
// ends.
template <bool Whole>
OPENWORK_INLINE void add_columns(const float* x, int pitch, const float* y, int width, int height,
                                 int count, int64_t ahead, Sums& sum) {
  const auto read = [&](const float* from) OPENWORK_INLINE_LAMBDA {
    return Whole ? load(from) : load_part(from, 0, count);
  };
  vec row[3]{};  // of the gradient: this one and the two above
  const auto add = [&](int ky, const vec(&held)[3]) OPENWORK_INLINE_LAMBDA {
#pragma GCC unroll 3
    for (int kx = 0; kx < 3; ++kx) sum[ky][kx] += row[ky] * held[kx];
  };
  const auto next = [&](bool inside) OPENWORK_INLINE_LAMBDA {
    row[2] = row[1], row[1] = row[0];
    if (inside) row[0] = read(y), __builtin_prefetch(y + ahead), y += width;
  };
  const auto hold = [&](vec(&held)[3]) OPENWORK_INLINE_LAMBDA {
#pragma GCC unroll 3
    for (int kx = 0; kx < 3; ++kx) held[kx] = read(x + kx);
    x += pitch;
  };
  // Input row r meets rows r, r - 1 and r - 2 of the gradient: not all of them at the edges.
  const auto edge = [&](int r) OPENWORK_INLINE_LAMBDA {
    vec held[3];
    next(r < height);
    hold(held);
    if (r < height) add(0, held);
    if (r >= 1 && r <= height) add(1, held);
    if (r >= 2) add(2, held);
  };
  int r = 0;
  for (; r < 2; ++r) edge(r);
  for (; r < height; ++r) {
    vec held[3];
    next(true);
    hold(held);
#pragma GCC unroll 3
    for (int ky = 0; ky < 3; ++ky) add(ky, held);
  }
  for (; r < height + 2; ++r) edge(r);
}

OPENWORK_INLINE void add_maps(const float* x, int pitch, const float* y, int width, int height,
                              int64_t ahead, Sums& sum) {
  int at = 0;
  for (; at + lanes <= width; at += lanes)
    add_columns<true>(x + at, pitch, y + at, width, height, lanes, ahead, sum);
  if (at < width) add_columns<false>(x + at, pitch, y + at, width, height, width - at, ahead, sum);
}

// Filters [begin, end): their connections' sums over `images` images.
void sample_filters(const SampledDirectPlan& plan, const Scratch& scratch, const SampledRun& run,
                    int image, int images, int begin, int end) {
  const Geometry& g = plan.geometry;
  const int64_t out_map = static_cast<int64_t>(g.out_height) * g.out_width;
  Waiting waiting(run.output, image > 0);
  for (int row = begin; row < end; ++row) {
    const float* y = run.gradient + image * run.out_image + row * out_map;
    for (int i = plan.samples.bound[row]; i < plan.samples.bound[plan.samples.rows + row]; ++i) {
      const float* x = run.workspace + plan.samples.index[i] * scratch.layout.channel;
      Sums sum{};
      const bool last = i + 1 == plan.samples.bound[plan.samples.rows + row];
      for (int k = 0; k < images; ++k) {
        const int64_t back = (last ? out_map : 0) - (images - 1) * run.out_image;
        add_maps(x + k * scratch.layout.image, scratch.layout.columns, y + k * run.out_image,
                 g.out_width, g.out_height, k + 1 < images ? run.out_image : back, sum);
      }
#pragma GCC unroll 9
      for (int tap = 0; tap < 9; ++tap) waiting.take(sum[tap / 3][tap % 3], i * 9 + tap);
    }
  }
  waiting.finish();
}

void run(const SampledDirectPlan& plan, const SampledRun& run) {
  const Geometry& g = plan.geometry;
  const Scratch scratch(g);
  const int64_t in_map = static_cast<int64_t>(g.height) * g.width;
  const int parts = sampled_parts(plan.samples.rows, run.threads);
#pragma omp parallel num_threads(run.threads) if (run.threads > 1)
  for (int image = 0; image < run.batch; image += scratch.images) {
    const int images = smaller(scratch.images, run.batch - image);
#pragma omp for schedule(static)
    for (int map = 0; map < images * g.in_channels; ++map) {
      const int k = map / g.in_channels, channel = map % g.in_channels;
      pad_channel(g, scratch.layout, run.input + (image + k) * run.in_image + channel * in_map,
                  run.workspace + k * scratch.layout.image + channel * scratch.layout.channel,
                  image == 0);
    }
#pragma omp for schedule(dynamic, 1)
    for (int part = 0; part < parts; ++part)
      sample_filters(plan, scratch, run, image, images,
                     sampled_begin(plan.samples.rows, part, parts),
                     sampled_begin(plan.samples.rows, part + 1, parts));
  }
}

int64_t workspace(const SampledDirectPlan& plan, int, int) {
  return Scratch(plan.geometry).floats();
}

const char* refusal(const SampledDirectPlan& plan) {
  const Geometry& g = plan.geometry;
  if (g.dilation_y != 1 || g.dilation_x != 1) return "dilated";
  if (g.stride_y != 1 || g.stride_x != 1) return "strided";
  return g.kernel_y == 3 && g.kernel_x == 3 ? nullptr : "not 3x3";
}

}  // namespace

const Kernel<SampledDirectPlan, SampledRun> sampled_direct{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
