// What training does around the products: weights packed again for each call, and the phases of a
// strided layer's input gradient put together.
#include "../training.h"

#include "shuffle.h"
#include "table.h"
#include "winograd_transform.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

// The nine taps of `lanes` connections, a vector for each tap; zeros after the last connection.
OPENWORK_INLINE void gather_taps(const Refill& fill, const float* values, const int32_t* order,
                                 int count, float (&taps)[9][lanes]) {
  if (fill.tap) {
    for (int lane = 0; lane < lanes; ++lane) {
      const int32_t* places = fill.tap + static_cast<int64_t>(order[lane < count ? lane : 0]) * 9;
      for (int t = 0; t < 9; ++t)
        taps[fill.flipped ? 8 - t : t][lane] =
            lane < count && places[t] >= 0 ? values[places[t]] : 0.f;
    }
    return;
  }
#pragma GCC unroll 3
  for (int first = 0; first < 9; first += lanes) {
    const int some = smaller(lanes, 9 - first);
    vec x[lanes];
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i)
      x[i] = i < count ? load_lanes(values + order[i] * int64_t{9} + first, 0, some) : vec{};
    transpose(x);
#pragma GCC unroll 16
    for (int i = 0; i < some; ++i) store(taps[fill.flipped ? 8 - first - i : first + i], x[i]);
  }
}

template <int N>
OPENWORK_INLINE void transform_connections(const Refill& fill, const float* values, int64_t first,
                                           float* to) {
  const int64_t left = fill.packed - first;
  const int count = left < lanes ? static_cast<int>(left) : lanes;
  float taps[9][lanes];
  gather_taps(fill, values, fill.order + first, count, taps);
  vec half[N][3];
#pragma GCC unroll 3
  for (int j = 0; j < 3; ++j) {
    const vec g[3] = {load(taps[j]), load(taps[3 + j]), load(taps[6 + j])};
    vec u[N];
    transform_filter(g, u);
#pragma GCC unroll 6
    for (int i = 0; i < N; ++i) half[i][j] = u[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < N; ++i) {
    vec u[N];
    transform_filter(half[i], u);
#pragma GCC unroll 6
    for (int j = 0; j < N; ++j) store_lanes(to + (i * N + j) * fill.packed + first, u[j], count);
  }
}

void refill(const Refill& fill, const float* values, float* to, int threads) {
  if (fill.output == 0) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < fill.packed; ++i) to[i] = values[fill.order[i]];
    return;
  }
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t first = 0; first < fill.packed; first += lanes) {
    if (fill.output == 2)
      transform_connections<4>(fill, values, first, to);
    else
      transform_connections<6>(fill, values, first, to);
  }
}

OPENWORK_INLINE const float* row_of(const Phase& phase, int64_t map, int row) {
  if (!phase.from) return nullptr;
  const int64_t line = map * phase.height + row + phase.top;
  return phase.from + line * phase.width + phase.left;
}

// One row of two phases: zeros where a phase has none.
OPENWORK_INLINE void zip_row(const float* even, const float* odd, int width, float* to) {
  for (int x = 0; x < width; x += 2 * lanes) {
    const int left = smaller(width - x, 2 * lanes);
    const int evens = (left + 1) / 2, odds = left / 2;
    const vec a = even ? load_lanes(even + x / 2, 0, evens) : vec{};
    const vec b = odd && odds > 0 ? load_lanes(odd + x / 2, 0, odds) : vec{};
    store_lanes(to + x, zip_low(a, b, Lanes{}), smaller(left, lanes));
    if (left > lanes) store_lanes(to + x + lanes, zip_high(a, b, Lanes{}), left - lanes);
  }
}

void interleave(const Interleave& job, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t map = 0; map < job.maps; ++map)
    for (int y = 0; y < job.height; ++y) {
      const Phase* phases = job.phases + y % job.stride_y * job.stride_x;
      const int row = y / job.stride_y;
      float* to = job.output + (map * job.height + y) * job.width;
      if (job.stride_x == 2) {
        zip_row(row_of(phases[0], map, row), row_of(phases[1], map, row), job.width, to);
        continue;
      }
      for (int phase = 0; phase < job.stride_x; ++phase) {
        const float* from = row_of(phases[phase], map, row);
        for (int x = phase, i = 0; x < job.width; x += job.stride_x, ++i)
          to[x] = from ? from[i] : 0;
      }
    }
}

}  // namespace

const Training training{refill, interleave};

}  // namespace openwork::OPENWORK_NAMESPACE
