// The core of the weight's gradient: sums over pixels of two rows' products, for live pairs alone.
#pragma once
#include <utility>

#include "../training.h"
#include "shuffle.h"
#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

// Lanes whose number has bit D hold sums of b's lanes, the others of a's: each of two lanes that
// differ in that bit.
template <int D, int... I>
OPENWORK_INLINE vec fold(vec a, vec b, std::integer_sequence<int, I...>) {
  const vec own = __builtin_shufflevector(a, b, ((I & D) ? lanes + I : I)...);
  const vec other = __builtin_shufflevector(a, b, ((I & D) ? lanes + (I ^ D) : (I ^ D))...);
  return own + other;
}

// Lane i of the result is the sum of x[i]'s lanes; `x` is lost.
template <int N = lanes>
OPENWORK_INLINE vec lane_sums(vec* x) {
  if constexpr (N == 1) {
    return x[0];
  } else {
#pragma GCC unroll 8
    for (int i = 0; i < N / 2; ++i) x[i] = fold<N / 2>(x[i], x[i + N / 2], Lanes{});
    return lane_sums<N / 2>(x);
  }
}

// Sums that wait until there is one for each lane, so that all are added up together.
struct Waiting {
  float* output;
  bool add;  // to what `output` holds; else it is overwritten
  int count = 0;
  int32_t place[lanes];
  vec sum[lanes];

  Waiting(float* output, bool add) : output(output), add(add) {}

  OPENWORK_INLINE_MEMBER void take(vec value, int at) {
    sum[count] = value;
    place[count] = at;
    if (++count == lanes) finish();
  }

  void finish() {
    for (int i = count; i < lanes; ++i) sum[i] = vec{};
    const vec all = lane_sums(sum);
    for (int i = 0; i < count; ++i) output[place[i]] = add ? output[place[i]] + all[i] : all[i];
    count = 0;
  }
};

template <int V>
OPENWORK_INLINE vec dot(const vec (&y)[V], const float* x) {
  vec sum = y[0] * load(x);
#pragma GCC unroll 8
  for (int v = 1; v < V; ++v) sum += y[v] * load(x + v * lanes);
  return sum;
}

// The entries [first, last) of one filter: gradient `y` times the columns at x + index * stride.
template <int V>
OPENWORK_INLINE void sample(const vec (&y)[V], const float* x, int64_t stride, const int32_t* index,
                            int first, int last, Waiting& waiting) {
  int at = first;
  for (; at + lanes <= last; at += lanes) {
    vec sum[lanes];
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) sum[i] = dot<V>(y, x + index[at + i] * stride);
    float* to = waiting.output + at;
    const vec all = lane_sums(sum);
    store(to, waiting.add ? load(to) + all : all);
  }
  for (; at < last; ++at) waiting.take(dot<V>(y, x + index[at] * stride), at);
}

// A tile of columns and gradients, V vectors each, for filters [begin, end). The first tile's sums
// overwrite `output`, others are added.
template <int V>
void sample_rows(const Samples& samples, const float* x, int64_t x_stride, const float* y,
                 int64_t y_stride, int begin, int end, bool add, float* output) {
  Waiting waiting(output, add);
  for (int chunk = 0; chunk < samples.chunks; ++chunk) {
    const int32_t* bound = samples.bound + static_cast<int64_t>(chunk) * samples.rows;
    for (int row = begin; row < end; ++row) {
      const int first = bound[row], last = bound[samples.rows + row];
      if (first == last) continue;
      vec held[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) held[v] = load(y + row * y_stride + v * lanes);
      sample<V>(held, x, x_stride, samples.index, first, last, waiting);
    }
  }
  waiting.finish();
}

// Calls `body.template operator()<V>()`; false if there is no such tile.
template <class Body>
OPENWORK_INLINE bool with_vectors(int vectors, const Body& body) {
  if (vectors == 1) return body.template operator()<1>(), true;
  if (vectors == 2) return body.template operator()<2>(), true;
  if (vectors == 4) return body.template operator()<4>(), true;
  if constexpr (registers == 32)
    if (vectors == 8) return body.template operator()<8>(), true;
  return false;
}

// Parts of the filters that threads share out among them.
OPENWORK_INLINE int sampled_parts(int rows, int threads) {
  return threads == 1 ? 1 : smaller(rows, threads * 4);
}

OPENWORK_INLINE int sampled_begin(int rows, int part, int parts) {
  return static_cast<int>(static_cast<int64_t>(rows) * part / parts);
}

}  // namespace openwork::OPENWORK_NAMESPACE
