// f32-transposed-depthwise: the input's gradient of depthwise layers with stride 2. Each pair of
// rows and each vector of pairs of columns gathers what it needs of the output's gradient: half of
// the kernel's rows and columns go to each of the four, so nothing is multiplied by zeros.
#include "depthwise_rows.h"
#include "table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

// Kernels whose input's gradient is computed here, with the parity of their padding.
template <int K, int P>
struct Transposed {
  static constexpr int k = K, p = P;
  static constexpr int reads = (K + 1) / 2;  // rows and columns of the gradient for each pair
};

// A vector of pairs of columns.
struct Pairs {
  const float* from;  // row 0 of the gradient, the rightmost vector that is read
  uint32_t bits[4];   // of each vector that is read, from right to left: columns that exist
  int count;          // columns that are written
};

// Two rows of one map, or the first of them, from `to` on. `last` is the lowest row of the gradient
// that they read.
template <class T, bool Edge>
OPENWORK_INLINE void write_pair(const Geometry& g, const Pairs& pairs, const float* weight,
                                vec start, int last, int rows, float* to) {
  vec sum[2][2] = {{start, start}, {start, start}};
#pragma GCC unroll 4
  for (int a = 0; a < T::reads; ++a) {
    const int row = last - a;
    if (row < 0 || row >= g.out_height) continue;
    const float* from = pairs.from + static_cast<int64_t>(row) * g.out_width;
    vec held[T::reads];
#pragma GCC unroll 4
    for (int b = 0; b < T::reads; ++b)
      held[b] = Edge ? load_masked(from - b, pairs.bits[b]) : load(from - b);
#pragma GCC unroll 4
    for (int b = 0; b < T::reads; ++b)
#pragma GCC unroll 2
      for (int e = 0; e < 2; ++e)
#pragma GCC unroll 2
        for (int d = 0; d < 2; ++d) {
          const int ky = e - T::p + 2 * a, kx = d - T::p + 2 * b;
          if (ky >= 0 && ky < T::k && kx >= 0 && kx < T::k)
            sum[e][d] += broadcast(weight[ky * T::k + kx]) * held[b];
        }
  }
#pragma GCC unroll 2
  for (int e = 0; e < 2; ++e) {
    if (e >= rows) break;
    const vec low = zip_low(sum[e][0], sum[e][1], Lanes{});
    const vec high = zip_high(sum[e][0], sum[e][1], Lanes{});
    float* at = to + static_cast<int64_t>(e) * g.width;
    if (!Edge) {
      store(at, low);
      store(at + lanes, high);
      continue;
    }
    store_lanes(at, low, smaller(pairs.count, lanes));
    if (pairs.count > lanes) store_lanes(at + lanes, high, pairs.count - lanes);
  }
}

template <class T>
OPENWORK_INLINE void write_map(const Geometry& g, const float* from, const float* weight,
                               float bias, float* to) {
  // Pair r, t reads rows up to r + below, and columns up to t + right.
  const int below = (g.pad_y + T::p) / 2, right = (g.pad_x + T::p) / 2;
  const vec start = broadcast(bias);
  // Stores to the output would make the compiler load `weight` again.
  float own[T::k * T::k];
  for (int i = 0; i < T::k * T::k; ++i) own[i] = weight[i];
  for (int t = 0; 2 * t < g.width; t += lanes) {
    Pairs pairs{from + t + right, {}, smaller(2 * lanes, g.width - 2 * t)};
    bool whole = pairs.count == 2 * lanes;
    for (int b = 0; b < T::reads; ++b) {
      pairs.bits[b] = inside(g.out_width, t + right - b, lanes);
      whole = whole && pairs.bits[b] == lane_bits(0, lanes);
    }
    for (int r = 0; 2 * r < g.height; ++r) {
      const int rows = smaller(2, g.height - 2 * r);
      float* at = to + static_cast<int64_t>(2 * r) * g.width + 2 * t;
      if (whole)
        write_pair<T, false>(g, pairs, own, start, r + below, rows, at);
      else
        write_pair<T, true>(g, pairs, own, start, r + below, rows, at);
    }
  }
}

template <class T>
void write_maps(const TransposedDepthwisePlan& plan, const Run& run) {
  const Geometry& g = plan.geometry;
  const int64_t in_map = static_cast<int64_t>(g.height) * g.width;
  const int64_t out_map = static_cast<int64_t>(g.out_height) * g.out_width;
#pragma omp parallel num_threads(run.threads) if (run.threads > 1)
  for (int image = 0; image < run.batch; ++image) {
#pragma omp for schedule(static) nowait
    for (int channel = 0; channel < g.in_channels; ++channel) {
      float* to = run.output + image * run.out_image + channel * in_map;
      const float bias = plan.epilogue.bias ? plan.epilogue.bias[channel] : 0.f;
      if (plan.kernel[channel] < 0) {
        for (int64_t i = 0; i < in_map; ++i) to[i] = bias;
        continue;
      }
      write_map<T>(g, run.input + image * run.in_image + plan.filter[channel] * out_map,
                   plan.weight + plan.kernel[channel] * int64_t{T::k} * T::k, bias, to);
    }
  }
}

// Calls `body(T{})` for the kernel's size and padding; false if there is none.
template <class Body>
OPENWORK_INLINE bool with_kernel(const Geometry& g, const Body& body) {
  return with_shape(Shapes<Shape<3, 2>, Shape<5, 2>, Shape<7, 2>>{}, g, [&]<class S>(S) {
    if (g.pad_y % 2)
      body(Transposed<S::k, 1>{});
    else
      body(Transposed<S::k, 0>{});
  });
}

void run(const TransposedDepthwisePlan& plan, const Run& run) {
  with_kernel(plan.geometry, [&]<class T>(T) { write_maps<T>(plan, run); });
}

int64_t workspace(const TransposedDepthwisePlan&, int, int) { return 0; }

const char* refusal(const TransposedDepthwisePlan& plan) {
  const Geometry& g = plan.geometry;
  if (g.pad_y % 2 != g.pad_x % 2) return "paddings of different parity";
  return with_kernel(g, [](auto) {}) ? nullptr : "not a square kernel of 3, 5 or 7 with stride 2";
}

}  // namespace

const Kernel<TransposedDepthwisePlan> transposed_depthwise{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
