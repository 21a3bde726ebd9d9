// f32-grad-depthwise: the weight's gradient of whole kernels that read few channels each. Maps are
// read where they lie: a kernel's sums run down a vector of columns, as many of its rows at a time
// as registers hold.
#include <omp.h>

#include "depthwise_rows.h"
#include "sampled.h"
#include "table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

// Connections whose sums are kept while all images pass. Maps of one image lie side by side, those
// of other images pages apart: with one connection at a time 56x56 took three times as long.
constexpr int most_kept = 16;

int64_t sums_floats(const Geometry& g) {
  return static_cast<int64_t>(most_kept) * g.kernel_y * g.kernel_x * lanes;
}

// A vector of columns of an input and of its output's gradient.
template <class S>
struct Strip {
  const Geometry& g;
  const float* x;  // what kernel column 0 reads, in row 0
  const float* y;
  int count;  // columns of the gradient
  Columns<S> columns;
};

// Adds to the sums of kernel rows `first`, `first + stride`, ..., T of them. Input row r meets T
// rows of the gradient, one for each.
template <class S, int T, bool Edge>
OPENWORK_INLINE void add_rows(const Strip<S>& strip, int first, float* sums) {
  const int height = strip.g.height, width = strip.g.width;
  const int rows = strip.g.out_height, step = strip.g.out_width, count = strip.count;
  const Columns<S> columns = strip.columns;
  const float* y = strip.y;
  vec sum[T][S::k];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
    for (int kx = 0; kx < S::k; ++kx)
      sum[t][kx] = load(sums + ((first + t * S::s) * S::k + kx) * lanes);
  vec row[T]{};  // of the gradient: this one and those above
  int r = first - strip.g.pad_y;
  const float* x = strip.x + static_cast<int64_t>(r) * width;
  for (int at = 0; at < rows + T - 1; ++at, r += S::s, x += S::s * width) {
#pragma GCC unroll 8
    for (int t = T - 1; t > 0; --t) row[t] = row[t - 1];
    if (at < rows) {
      row[0] = Edge ? load_lanes(y, 0, count) : load(y);
      if (S::s == 2) row[0] = in_order(row[0]);  // as the columns are that it meets
      y += step;
    }
    if (r < 0 || r >= height) continue;
    vec held[S::k];
    read_row<S, Edge>(x, columns, held);
    const auto add = [&](int t) OPENWORK_INLINE_LAMBDA {
#pragma GCC unroll 8
      for (int kx = 0; kx < S::k; ++kx) sum[t][kx] += row[t] * held[kx];
    };
    if (at >= T - 1 && at < rows) {
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) add(t);
      continue;
    }
    // Rows of the gradient that do not exist are left out: what they would meet may be infinite.
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
      if (at >= t && at - t < rows) add(t);
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
    for (int kx = 0; kx < S::k; ++kx)
      store(sums + ((first + t * S::s) * S::k + kx) * lanes, sum[t][kx]);
}

// All rows of the kernel that begin with `First` and have its phase.
template <class S, bool Edge, int First>
OPENWORK_INLINE void add_phase(const Strip<S>& strip, float* sums) {
  constexpr int left = (S::k - First + S::s - 1) / S::s;
  constexpr int fitting = (registers - 3) / (S::k + 1);
  constexpr int some = left < fitting ? left : fitting;
  add_rows<S, some, Edge>(strip, First, sums);
  if constexpr (some < left) add_phase<S, Edge, First + some * S::s>(strip, sums);
}

template <class S>
OPENWORK_INLINE void add_maps(const Geometry& g, const float* x, const float* y,
                              Columns<S> (&edges)[2], float* sums) {
  for (int at = 0; at < g.out_width; at += lanes) {
    const int left = at * S::s - g.pad_x, count = smaller(lanes, g.out_width - at);
    Columns<S>& columns = edges[at > 0];
    const bool whole = left >= 0 && left + S::k - 1 + S::s * lanes <= g.width && count == lanes;
    if (!whole) columns.find(g, at, count);
    const Strip<S> strip{g, x + left, y + at, count, columns};
    if (whole) {
      add_phase<S, false, 0>(strip, sums);
      if constexpr (S::s == 2) add_phase<S, false, 1>(strip, sums);
    } else {
      add_phase<S, true, 0>(strip, sums);
      if constexpr (S::s == 2) add_phase<S, true, 1>(strip, sums);
    }
  }
}

template <class S>
void sample(const SampledDepthwisePlan& plan, const SampledRun& run) {
  constexpr int taps = S::k * S::k;
  const Geometry& g = plan.geometry;
  const int64_t in_map = static_cast<int64_t>(g.height) * g.width;
  const int64_t out_map = static_cast<int64_t>(g.out_height) * g.out_width;
  if (plan.connections == 0) return;
  // As many blocks for each thread.
  const int blocks = ceil_div(ceil_div(plan.connections, most_kept), run.threads) * run.threads;
  const int kept = ceil_div(plan.connections, blocks);
#pragma omp parallel num_threads(run.threads) if (run.threads > 1)
  {
    float* sums = run.workspace + omp_get_thread_num() * sums_floats(g);
    Columns<S> edges[2];  // of the left edge, and of the right one
    Waiting waiting(run.output, false);
#pragma omp for schedule(static)
    for (int begin = 0; begin < plan.connections; begin += kept) {
      const int count = smaller(kept, plan.connections - begin);
      clear(sums, static_cast<int64_t>(count) * taps * lanes);
      for (int image = 0; image < run.batch; ++image)
        for (int i = 0; i < count; ++i)
          add_maps<S>(g, run.input + image * run.in_image + plan.channel[begin + i] * in_map,
                      run.gradient + image * run.out_image + plan.filter[begin + i] * out_map,
                      edges, sums + i * taps * lanes);
      for (int i = 0; i < count * taps; ++i) waiting.take(load(sums + i * lanes), begin * taps + i);
    }
    waiting.finish();
  }
}

void run(const SampledDepthwisePlan& plan, const SampledRun& run) {
  with_shape(AllShapes{}, plan.geometry, [&]<class S>(S) { sample<S>(plan, run); });
}

int64_t workspace(const SampledDepthwisePlan& plan, int, int threads) {
  return sums_floats(plan.geometry) * threads;
}

const char* refusal(const SampledDepthwisePlan& plan) {
  const bool found = with_shape(AllShapes{}, plan.geometry, [](auto) {});
  return found ? nullptr : "not a square kernel of 3, 5 or 7 with stride 1 or 2";
}

}  // namespace

const Kernel<SampledDepthwisePlan, SampledRun> sampled_depthwise{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
