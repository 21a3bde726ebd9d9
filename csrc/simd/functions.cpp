// f32-functions: functions of each number alone, and softmax.
#include "functions.h"

#include "over_vectors.h"
#include "step_table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

template <Function F>
void map_one(const PointFunction& f, const float* input, float* output, int64_t count,
             int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t start = 0; start < count; start += piece) {
    const int64_t size = start + piece < count ? piece : count - start;
    over_vectors(size, [&](int64_t at, int n) {
      const vec value = load_lanes(input + start + at, 0, n);
      store_lanes(output + start + at, apply<F>(f.numbers, value), n);
    });
  }
}

void map(const PointFunction& f, const float* input, float* output, int64_t count, int threads) {
  switch (f.function) {
#define OPENWORK_CASE(name, parameters) \
  case Function::name:                  \
    return map_one<Function::name>(f, input, output, count, threads);
    OPENWORK_FUNCTIONS(OPENWORK_CASE)
#undef OPENWORK_CASE
  }
}

template <Operation O>
void combine_one(const float* a, const float* b, float* output, int64_t count, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t start = 0; start < count; start += piece) {
    const int64_t size = start + piece < count ? piece : count - start;
    over_vectors(size, [&](int64_t at, int n) {
      const vec first = load_lanes(a + start + at, 0, n), second = load_lanes(b + start + at, 0, n);
      store_lanes(output + start + at, combine<O>(first, second), n);
    });
  }
}

template <Operation O>
void spread_one(const float* a, const float* b, float* output, int64_t outer, int64_t repeats,
                int64_t inner, int threads) {
  // Rows that share one number, in pieces; or rows that share a row.
  const bool numbers = inner == 1;
  const int64_t length = numbers ? repeats : inner;
  const int64_t pieces = (length + piece - 1) / piece, rows = numbers ? outer : outer * repeats;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t item = 0; item < rows * pieces; ++item) {
    const int64_t row = item / pieces, first = item % pieces * piece, at = row * length + first;
    const int64_t size = first + piece < length ? piece : length - first;
    if (numbers) {
      const vec second = broadcast(b[row]);
      over_vectors(size, [&](int64_t i, int n) {
        store_lanes(output + at + i, combine<O>(load_lanes(a + at + i, 0, n), second), n);
      });
      continue;
    }
    const float* shared = b + row / repeats * inner + first;
    over_vectors(size, [&](int64_t i, int n) {
      const vec value = load_lanes(a + at + i, 0, n);
      store_lanes(output + at + i, combine<O>(value, load_lanes(shared + i, 0, n)), n);
    });
  }
}

void combine(Operation operation, const float* a, const float* b, float* output, int64_t count,
             int threads) {
  switch (operation) {
#define OPENWORK_CASE(name) \
  case Operation::name:     \
    return combine_one<Operation::name>(a, b, output, count, threads);
    OPENWORK_OPERATIONS(OPENWORK_CASE)
#undef OPENWORK_CASE
  }
}

void spread(Operation operation, const float* a, const float* b, float* output, int64_t outer,
            int64_t repeats, int64_t inner, int threads) {
  switch (operation) {
#define OPENWORK_CASE(name) \
  case Operation::name:     \
    return spread_one<Operation::name>(a, b, output, outer, repeats, inner, threads);
    OPENWORK_OPERATIONS(OPENWORK_CASE)
#undef OPENWORK_CASE
  }
}

void prelu(const float* slope, const float* input, float* output, int batch, int channels,
           int64_t pixels, int threads) {
  const int64_t maps = static_cast<int64_t>(batch) * channels;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t map = 0; map < maps; ++map) {
    const vec factor = broadcast(slope[map % channels]);
    over_vectors(pixels, [&](int64_t at, int n) {
      const vec value = load_lanes(input + map * pixels + at, 0, n);
      store_lanes(output + map * pixels + at, value > 0.f ? value : value * factor, n);
    });
  }
}

// NaN wins, as in torch.
OPENWORK_INLINE vec larger_or_nan(vec a, vec b) {
  const ivec take = (b > a) | (b != b);
  return take ? b : a;
}

// Softmax down `size` vectors, `stride` floats apart.
OPENWORK_INLINE void softmax_columns(const float* in, float* out, int64_t size, int64_t stride,
                                     bool log, int count) {
  vec most = load_lanes(in, 0, count), sum{};
  for (int64_t i = 1; i < size; ++i)
    most = larger_or_nan(most, load_lanes(in + i * stride, 0, count));
  if (log) {
    for (int64_t i = 0; i < size; ++i)
      sum += exponential_or_zero(load_lanes(in + i * stride, 0, count) - most);
    const vec shift = logarithm(sum);
    for (int64_t i = 0; i < size; ++i)
      store_lanes(out + i * stride, load_lanes(in + i * stride, 0, count) - most - shift, count);
    return;
  }
  for (int64_t i = 0; i < size; ++i) {
    const vec power = exponential_or_zero(load_lanes(in + i * stride, 0, count) - most);
    sum += power;
    store_lanes(out + i * stride, power, count);
  }
  for (int64_t i = 0; i < size; ++i)
    store_lanes(out + i * stride, load_lanes(out + i * stride, 0, count) / sum, count);
}

// Softmax of `size` floats side by side.
OPENWORK_INLINE void softmax_row(const float* in, float* out, int64_t size, bool log) {
  vec mosts = broadcast(-__builtin_inff());
  over_vectors(size, [&](int64_t at, int n) {
    if (n == lanes)
      mosts = larger_or_nan(mosts, load(in + at));
    else
      for (int i = 0; i < n; ++i) mosts = larger_or_nan(mosts, broadcast(in[at + i]));
  });
  vec most = broadcast(mosts[0]);
  for (int lane = 1; lane < lanes; ++lane) most = larger_or_nan(most, broadcast(mosts[lane]));
  vec sums{};
  over_vectors(size, [&](int64_t at, int n) {
    const vec power = exponential_or_zero(load_lanes(in + at, 0, n) - most);
    if (n == lanes)
      sums += power;
    else
      for (int i = 0; i < n; ++i) sums[i] += power[i];
    if (!log) store_lanes(out + at, power, n);
  });
  float total = 0;
  for (int lane = 0; lane < lanes; ++lane) total += sums[lane];
  const vec sum = broadcast(total);
  const vec shift = logarithm(sum);
  over_vectors(size, [&](int64_t at, int n) {
    const vec value = load_lanes((log ? in : out) + at, 0, n);
    store_lanes(out + at, log ? value - most - shift : value / sum, n);
  });
}

void softmax(const float* input, float* output, int64_t outer, int64_t size, int64_t inner,
             bool log, int threads) {
  const int64_t columns = (inner + lanes - 1) / lanes;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t item = 0; item < outer * columns; ++item) {
    const int64_t first = item % columns * lanes, at = item / columns * size * inner + first;
    const int count = inner - first < lanes ? static_cast<int>(inner - first) : lanes;
    if (inner == 1)
      softmax_row(input + at, output + at, size, log);
    else
      softmax_columns(input + at, output + at, size, inner, log, count);
  }
}

}  // namespace

const Functions functions{map, combine, spread, prelu, softmax};

}  // namespace openwork::OPENWORK_NAMESPACE
