// f32-maps: pooling, sums, gates and the like.
#include "../maps.h"

#include "epilogue.h"
#include "shuffle.h"
#include "table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

// The larger one; NaN wins, as in torch.
OPENWORK_INLINE vec maximum(vec a, vec b) {
  const ivec take = (b > a) | (b != b);
  return take ? b : a;
}

OPENWORK_INLINE float maximum(float a, float b) { return b > a || b != b ? b : a; }

template <bool Average, class T>
OPENWORK_INLINE T combine(T a, T b) {
  if constexpr (Average)
    return a + b;
  else
    return maximum(a, b);
}

constexpr int most_width = 4096;  // of a line that is combined at once; wider maps go in pieces

// Window rows [top, bottom) of input columns [from, to) combined into one line.
template <bool Average>
OPENWORK_INLINE void combine_rows(const Pool& pool, const float* map, int top, int bottom, int from,
                                  int to, float* line) {
  const float* first = map + static_cast<int64_t>(top) * pool.width;
  int x = from;
  for (; x + lanes <= to; x += lanes) {
    vec value = load(first + x);
    for (int y = 1; y < bottom - top; ++y)
      value = combine<Average>(value, load(first + static_cast<int64_t>(y) * pool.width + x));
    store(line + x - from, value);
  }
  for (; x < to; ++x) {
    float value = first[x];
    for (int y = 1; y < bottom - top; ++y)
      value = combine<Average>(value, first[static_cast<int64_t>(y) * pool.width + x]);
    line[x - from] = value;
  }
}

OPENWORK_INLINE vec load_strided(const float* from, int stride) {
  if (stride == 1) return load(from);
  return every_second(load(from), load(from + lanes), Lanes{}, 0);
}

struct Span {
  int first, last;  // input places inside the map, [first, last)
  Span(int at, int stride, int pad, int kernel, int size) {
    const int start = at * stride - pad;
    first = larger(start, 0);
    last = smaller(start + kernel, size);
  }
  int count() const { return last > first ? last - first : 0; }
};

template <bool Average>
OPENWORK_INLINE float pool_one(const Pool& pool, const float* line, int from, int x) {
  const Span span(x, pool.stride_x, pool.pad_x, pool.kernel_x, pool.width);
  float value = Average ? 0.f : -__builtin_inff();
  for (int i = span.first; i < span.last; ++i) value = combine<Average>(value, line[i - from]);
  return value;
}

// Outputs [x, stop) of one row from a combined line that starts at input column `from`.
template <bool Average>
OPENWORK_INLINE void pool_line(const Pool& pool, const float* line, int from, int x, int stop,
                               float* out) {
  if (pool.stride_x <= 2) {
    for (; x < stop && x * pool.stride_x < pool.pad_x; ++x) out[x] = pool_one<Average>(pool, line, from, x);
    // A vector of outputs reads `lanes * stride` floats from its last tap on.
    const int reach = pool.kernel_x - 1 + lanes * pool.stride_x - pool.pad_x;
    for (; x + lanes <= stop && x * pool.stride_x + reach <= pool.width; x += lanes) {
      const float* in = line + x * pool.stride_x - pool.pad_x - from;
      vec value = load_strided(in, pool.stride_x);
      for (int k = 1; k < pool.kernel_x; ++k)
        value = combine<Average>(value, load_strided(in + k, pool.stride_x));
      store(out + x, value);
    }
  }
  for (; x < stop; ++x) out[x] = pool_one<Average>(pool, line, from, x);
}

template <bool Average>
void pool_map(const Pool& pool, const float* map, float* out) {
  alignas(64) float line[most_width + 2 * lanes];
  // Columns in pieces whose window fits the line.
  const int piece = larger(1, (most_width - pool.kernel_x) / pool.stride_x);
  for (int y = 0; y < pool.out_height; ++y, out += pool.out_width) {
    const Span rows(y, pool.stride_y, pool.pad_y, pool.kernel_y, pool.height);
    for (int x = 0; x < pool.out_width; x += piece) {
      const int stop = smaller(x + piece, pool.out_width);
      const int from = larger(0, x * pool.stride_x - pool.pad_x);
      const int to = smaller(pool.width, (stop - 1) * pool.stride_x - pool.pad_x + pool.kernel_x);
      if (rows.count() == 0 || to <= from) {
        for (int i = x; i < stop; ++i) out[i] = Average ? 0.f : -__builtin_inff();
        continue;
      }
      combine_rows<Average>(pool, map, rows.first, rows.last, from, to, line);
      pool_line<Average>(pool, line, from, x, stop, out);
    }
    if constexpr (Average) {
      for (int x = 0; x < pool.out_width; ++x) {
        // With padding counted, torch still leaves out what lies beyond the padding.
        const Span columns(x, pool.stride_x, pool.pad_x, pool.kernel_x, pool.width);
        const Span padded_x(x, pool.stride_x, 0, pool.kernel_x, pool.width + 2 * pool.pad_x);
        const Span padded_y(y, pool.stride_y, 0, pool.kernel_y, pool.height + 2 * pool.pad_y);
        const int count = pool.count_padding ? padded_x.count() * padded_y.count()
                                             : columns.count() * rows.count();
        out[x] /= static_cast<float>(count);
      }
    }
  }
}

void pool(const Pool& pool, const float* input, float* output, int batch, int threads) {
  const int64_t in_map = static_cast<int64_t>(pool.height) * pool.width;
  const int64_t out_map = static_cast<int64_t>(pool.out_height) * pool.out_width;
  const int64_t maps = static_cast<int64_t>(batch) * pool.channels;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t map = 0; map < maps; ++map) {
    if (pool.average)
      pool_map<true>(pool, input + map * in_map, output + map * out_map);
    else
      pool_map<false>(pool, input + map * in_map, output + map * out_map);
  }
}

void mean(const float* input, float* output, int64_t maps, int64_t pixels, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t map = 0; map < maps; ++map) {
    const float* in = input + map * pixels;
    vec sums{};
    int64_t i = 0;
    for (; i + lanes <= pixels; i += lanes) sums += load(in + i);
    float sum = 0.f;
    for (int lane = 0; lane < lanes; ++lane) sum += sums[lane];
    for (; i < pixels; ++i) sum += in[i];
    output[map] = sum / static_cast<float>(pixels);
  }
}

// Calls `body(at, count)` for pieces of `total` floats; count is `lanes` but for the last.
template <class Body>
OPENWORK_INLINE void over_vectors(int64_t total, const Body& body) {
  int64_t at = 0;
  for (; at + lanes <= total; at += lanes) body(at, lanes);
  if (at < total) body(at, static_cast<int>(total - at));
}

OPENWORK_INLINE void put(float* to, vec value, int count) {
  if (count == lanes)
    store(to, value);
  else
    store_part(to, value, count);
}

constexpr int64_t piece = 16384;  // floats that one thread takes at a time

void add(const float* a, const float* b, float* output, int64_t count, Activation activation,
         int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t start = 0; start < count; start += piece) {
    const int64_t size = start + piece < count ? piece : count - start;
    over_vectors(size, [&](int64_t at, int n) {
      vec value = load_lanes(a + start + at, 0, n);
      if (b) value += load_lanes(b + start + at, 0, n);
      put(output + start + at, activate(activation, value), n);
    });
  }
}

void affine(const Affine& affine, const float* input, float* output, int batch, int channels,
            int64_t pixels, int threads) {
  const int64_t maps = static_cast<int64_t>(batch) * channels;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t map = 0; map < maps; ++map) {
    const vec scale = broadcast(affine.scale[map % channels]);
    const vec shift = broadcast(affine.shift[map % channels]);
    over_vectors(pixels, [&](int64_t at, int n) {
      const vec value = load_lanes(input + map * pixels + at, 0, n) * scale + shift;
      put(output + map * pixels + at, activate(affine.activation, value), n);
    });
  }
}

void gate(const float* input, const float* gates, float* output, int64_t maps, int64_t pixels,
          int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t map = 0; map < maps; ++map) {
    const vec factor = broadcast(gates[map]);
    over_vectors(pixels, [&](int64_t at, int n) {
      put(output + map * pixels + at, load_lanes(input + map * pixels + at, 0, n) * factor, n);
    });
  }
}

}  // namespace

const Maps maps{pool, mean, add, affine, gate};

}  // namespace openwork::OPENWORK_NAMESPACE
