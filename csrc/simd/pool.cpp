// f32-pool: means of whole maps; maxima and averages over windows, first down the columns, then
// along the rows.
//
// Rows of the map are combined into lines that hold the padding too (zeros, or minus infinity), so
// that no output is a special case. A band of lines fits half of L1; it is written whole before it
// is read, because loads that straddle two fresh stores wait for both.
#include "../pool.h"

#include "epilogue.h"
#include "shuffle.h"
#include "table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

// Floats that are summed in float32, 16 in each lane: few enough that nothing worth mentioning is
// lost.
constexpr int64_t summed = 64 * lanes;

OPENWORK_INLINE double sum(const float* in, int64_t count) {
  vec sums[4]{};
  int64_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes)
    for (int k = 0; k < 4; ++k) sums[k] += load(in + i + k * lanes);
  for (; i + lanes <= count; i += lanes) sums[0] += load(in + i);
  if (i < count) sums[1] += load_part(in + i, 0, static_cast<int>(count - i));
  const vec all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double total = 0;
  for (int lane = 0; lane < lanes; ++lane) total += static_cast<double>(all[lane]);
  return total;
}

void mean(const float* input, float* output, int64_t maps, int64_t pixels, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t map = 0; map < maps; ++map) {
    double total = 0;
    for (int64_t at = 0; at < pixels; at += summed)
      total += sum(input + map * pixels + at, pixels - at < summed ? pixels - at : summed);
    output[map] = static_cast<float>(total / static_cast<double>(pixels));
  }
}

constexpr int band_floats = 4096;
constexpr int longest_line = band_floats - 4 * lanes;

template <bool Average>
OPENWORK_INLINE vec combine(vec a, vec b) {
  if constexpr (Average) {
    return a + b;
  } else {
    // NaN wins, as in torch.
    const ivec take = (b > a) | (b != b);
    return take ? b : a;
  }
}

template <bool Average>
constexpr float nothing = Average ? 0.f : -__builtin_inff();

struct Window {
  int first, last;  // input places inside the map, [first, last)
  Window(int at, int stride, int pad, int kernel, int size) {
    const int start = at * stride - pad;
    first = larger(start, 0);
    last = smaller(start + kernel, size);
  }
  int count() const { return last - first; }
};

// Outputs [x, stop) of each row, and the line of input columns that they read.
struct Columns {
  int x, stop;
  int from, length;  // first input column, which may lie in the padding; columns
  int pitch;         // floats from line to line

  Columns(const Pool& pool, int x, int stop)
      : x(x),
        stop(stop),
        from(x * pool.stride_x - pool.pad_x),
        length((stop - x - 1) * pool.stride_x + pool.kernel_x),
        // A vector of outputs two apart reads two vectors, from its last tap on.
        pitch(static_cast<int>(round_up(length, lanes)) + 2 * lanes) {}
};

// Calls `body(at, count)` for vectors that cover [first, last); the last one may overlap the one
// before it, which is cheaper than a part of a vector.
template <class Body>
OPENWORK_INLINE void over_lanes(int first, int last, const Body& body) {
  if (last - first < lanes) {
    if (last > first) body(first, last - first);
    return;
  }
  for (int at = first; at < last; at += lanes) body(smaller(at, last - lanes), lanes);
}

// K is the kernel's height if that is known when compiling, else 0.
template <bool Average, int K>
OPENWORK_INLINE void combine_rows(const Pool& pool, const float* map, int y, const Columns& columns,
                                  float* line) {
  const Window rows(y, pool.stride_y, pool.pad_y, pool.kernel_y, pool.height);
  const int first = larger(0, -columns.from);
  const int last = smaller(columns.length, pool.width - columns.from);
  for (int i = 0; i < first; ++i) line[i] = nothing<Average>;
  const float* top = map + static_cast<int64_t>(rows.first) * pool.width + columns.from;
  const int height = rows.count();
  over_lanes(first, last, [&](int i, int count) {
    vec value = load_lanes(top + i, 0, count);
    if (K > 0 && height == K) {
#pragma GCC unroll 4
      for (int k = 1; k < K; ++k)
        value = combine<Average>(
            value, load_lanes(top + static_cast<int64_t>(k) * pool.width + i, 0, count));
    } else {
      for (int k = 1; k < height; ++k)
        value = combine<Average>(
            value, load_lanes(top + static_cast<int64_t>(k) * pool.width + i, 0, count));
    }
    store(line + i, value);
  });
  for (int i = last; i < columns.length; ++i) line[i] = nothing<Average>;
}

OPENWORK_INLINE vec load_strided(const float* from, int stride) {
  if (stride == 1) return load(from);
  if (stride == 2) return every_second(load(from), load(from + lanes), Lanes{}, 0);
  vec value;
  for (int lane = 0; lane < lanes; ++lane) value[lane] = from[lane * stride];
  return value;
}

// One row of outputs. S is the stride if it is known when compiling, else 0: then outputs are
// taken one by one.
template <bool Average, int K, int S>
OPENWORK_INLINE void combine_columns(const Pool& pool, const Columns& columns, const float* line,
                                     const float* shares, float row_share, float shift,
                                     float* out) {
  const int kernel = K > 0 ? K : pool.kernel_x;
  const int wanted = columns.stop - columns.x;
  if constexpr (S > 0) {
    over_lanes(0, wanted, [&](int x, int count) {
      vec value = load_strided(line + x * S, S);
#pragma GCC unroll 4
      for (int k = 1; k < kernel; ++k)
        value = combine<Average>(value, load_strided(line + x * S + k, S));
      if constexpr (Average) value *= load(shares + x) * row_share;
      if (pool.shift) value += broadcast(shift);
      store_lanes(out + x, activate(pool.activation, value), count);
    });
  } else {
    for (int x = 0; x < wanted; ++x) {
      const float* in = line + static_cast<int64_t>(x) * pool.stride_x;
      vec value = broadcast(in[0]);
      for (int k = 1; k < kernel; ++k) value = combine<Average>(value, broadcast(in[k]));
      if constexpr (Average) value *= broadcast(shares[x] * row_share);
      if (pool.shift) value += broadcast(shift);
      out[x] = activate(pool.activation, value)[0];
    }
  }
}

// One over the inputs of a window along one axis; with padding counted, torch still leaves out what
// lies beyond the padding.
OPENWORK_INLINE float share(int at, int stride, int pad, int kernel, int size, bool count_padding) {
  const Window window = count_padding ? Window(at, stride, 0, kernel, size + 2 * pad)
                                      : Window(at, stride, pad, kernel, size);
  return 1.f / static_cast<float>(window.count());
}

template <bool Average, int K, int S>
void pool_columns(const Pool& pool, const Columns& columns, const float* input, float* output,
                  int64_t maps, int threads) {
  const int64_t in_map = static_cast<int64_t>(pool.height) * pool.width;
  const int64_t out_map = static_cast<int64_t>(pool.out_height) * pool.out_width;
  const int band = larger(1, band_floats / columns.pitch);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    alignas(64) float lines[band_floats];
    alignas(64) float shares[band_floats];
    for (int x = columns.x; Average && x < columns.stop; ++x)
      shares[x - columns.x] =
          share(x, pool.stride_x, pool.pad_x, pool.kernel_x, pool.width, pool.count_padding);
#pragma omp for schedule(static)
    for (int64_t map = 0; map < maps; ++map) {
      const float shift = pool.shift ? pool.shift[map % pool.channels] : 0.f;
      for (int y = 0; y < pool.out_height; y += band) {
        const int rows = smaller(band, pool.out_height - y);
        for (int r = 0; r < rows; ++r)
          combine_rows<Average, K>(pool, input + map * in_map, y + r, columns,
                                   lines + r * columns.pitch);
        for (int r = 0; r < rows; ++r) {
          const float row_share = Average ? share(y + r, pool.stride_y, pool.pad_y, pool.kernel_y,
                                                  pool.height, pool.count_padding)
                                          : 1.f;
          combine_columns<Average, K, S>(
              pool, columns, lines + r * columns.pitch, shares, row_share, shift,
              output + map * out_map + static_cast<int64_t>(y + r) * pool.out_width + columns.x);
        }
      }
    }
  }
}

template <bool Average, int K>
void pool_strided(const Pool& pool, const Columns& columns, const float* input, float* output,
                  int64_t maps, int threads) {
  if (pool.stride_x == 1)
    pool_columns<Average, K, 1>(pool, columns, input, output, maps, threads);
  else if (pool.stride_x == 2)
    pool_columns<Average, K, 2>(pool, columns, input, output, maps, threads);
  else
    pool_columns<Average, K, 0>(pool, columns, input, output, maps, threads);
}

template <bool Average>
void pool_sized(const Pool& pool, const Columns& columns, const float* input, float* output,
                int64_t maps, int threads) {
  const int kernel = pool.kernel_y == pool.kernel_x ? pool.kernel_x : 0;
  if (kernel == 3)
    pool_strided<Average, 3>(pool, columns, input, output, maps, threads);
  else if (kernel == 2)
    pool_strided<Average, 2>(pool, columns, input, output, maps, threads);
  else
    pool_strided<Average, 0>(pool, columns, input, output, maps, threads);
}

void pool(const Pool& pool, const float* input, float* output, int batch, int threads) {
  const int64_t maps = static_cast<int64_t>(batch) * pool.channels;
  // Wide maps are pooled in pieces whose lines fit.
  const int piece = (longest_line - pool.kernel_x) / pool.stride_x + 1;
  for (int x = 0; x < pool.out_width; x += piece) {
    const Columns columns(pool, x, smaller(x + piece, pool.out_width));
    if (pool.average)
      pool_sized<true>(pool, columns, input, output, maps, threads);
    else
      pool_sized<false>(pool, columns, input, output, maps, threads);
  }
}

}  // namespace

const Pooling pooling{pool, mean};

}  // namespace openwork::OPENWORK_NAMESPACE
