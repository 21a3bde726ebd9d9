// f32-normalize: layer and group norms, reductions along an axis, rows times a vector.
//
// A mean is taken first and the differences from it then, with what the mean lost by rounding. Rows
// are cut into pieces that fit the L1 cache, whose moments are put together in double precision;
// the pieces do not depend on the number of threads. Columns stay in cache between their passes.
#include "../normalize.h"

#include "functions.h"
#include "over_vectors.h"
#include "step_table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

constexpr int64_t row_piece = 4096;  // floats

// Floats of the piece of a row that begins at `at`.
OPENWORK_INLINE int64_t piece_at(int64_t at, int64_t size) {
  return size - at < row_piece ? size - at : row_piece;
}

OPENWORK_INLINE double piece_sum(const float* in, int64_t count) {
  vec sums[4]{};
  over_fours(count, [&](int64_t at, int n, int k) { sums[k] += load_lanes(in + at, 0, n); });
  return sum_of(sums);
}

OPENWORK_INLINE double piece_dot(const float* a, const float* b, int64_t count) {
  vec sums[4]{};
  over_fours(count, [&](int64_t at, int n, int k) {
    sums[k] += load_lanes(a + at, 0, n) * load_lanes(b + at, 0, n);
  });
  return sum_of(sums);
}

template <class Sum>
OPENWORK_INLINE double in_pieces(int64_t size, const Sum& sum) {
  double all = 0;
  for (int64_t at = 0; at < size; at += row_piece) all += sum(at, piece_at(at, size));
  return all;
}

// How many numbers, their mean, and the sum of the squares of differences from it.
struct Moments {
  double count, mean, squares;

  void add(const Moments& other) {
    const double both = count + other.count, difference = other.mean - mean;
    mean += difference * (other.count / both);
    squares += other.squares + difference * difference * (count * (other.count / both));
    count = both;
  }
};

OPENWORK_INLINE Moments piece_moments(const float* in, int64_t count) {
  const double size = static_cast<double>(count);
  const float mean = static_cast<float>(piece_sum(in, count) / size);
  const vec center = broadcast(mean);
  vec sums[4]{}, squares[4]{};
  over_fours(count, [&](int64_t at, int n, int k) {
    vec difference = load_lanes(in + at, 0, n) - center;
    if (n < lanes)
      for (int lane = n; lane < lanes; ++lane) difference[lane] = 0;
    sums[k] += difference;
    squares[k] += difference * difference;
  });
  const double rest = sum_of(sums);
  const double about = sum_of(squares) - rest * rest / size;
  return {size, static_cast<double>(mean) + rest / size, about < 0 ? 0 : about};
}

Moments row_moments(const float* in, int64_t size) {
  Moments all = piece_moments(in, piece_at(0, size));
  for (int64_t at = row_piece; at < size; at += row_piece)
    all.add(piece_moments(in + at, piece_at(at, size)));
  return all;
}

// What a row's numbers are taken to: ((x - mean) - rest) * factor.
struct Scale {
  float mean, rest, factor;

  Scale(const Moments& row, float eps)
      : mean(static_cast<float>(row.mean)),
        rest(static_cast<float>(row.mean - static_cast<double>(mean))),
        factor(static_cast<float>(
            1. / __builtin_sqrt(row.squares / row.count + static_cast<double>(eps)))) {}
};

// `count` numbers of row `row`, from place `at` on.
OPENWORK_INLINE void write_piece(const Normalize& n, const Scale& scale, int64_t row, int64_t at,
                                 int64_t count, const float* in, float* out) {
  const vec mean = broadcast(scale.mean), rest = broadcast(scale.rest);
  const vec factor = broadcast(scale.factor);
  const bool plain = !n.weight && !n.bias;
  if (plain || n.repeat == 1) {
    const int64_t first = plain ? 0 : (row * n.size + at) % n.weights;
    over_vectors(count, [&](int64_t i, int lane_count) {
      vec value = (load_lanes(in + i, 0, lane_count) - mean - rest) * factor;
      if (n.weight) value *= load_lanes(n.weight + first + i, 0, lane_count);
      if (n.bias) value += load_lanes(n.bias + first + i, 0, lane_count);
      store_lanes(out + i, activate(n.activation, value), lane_count);
    });
    return;
  }
  int64_t place = (row * n.size + at) / n.repeat % n.weights;
  int64_t left = n.repeat - (row * n.size + at) % n.repeat;
  for (int64_t i = 0; i < count;) {
    const int64_t run = left < count - i ? left : count - i;
    const vec weight = n.weight ? broadcast(n.weight[place]) * factor : factor;
    const vec bias = n.bias ? broadcast(n.bias[place]) : vec{};
    over_vectors(run, [&](int64_t j, int lane_count) {
      const vec value = (load_lanes(in + i + j, 0, lane_count) - mean - rest) * weight + bias;
      store_lanes(out + i + j, activate(n.activation, value), lane_count);
    });
    i += run, left = n.repeat;
    if (++place == n.weights) place = 0;
  }
}

OPENWORK_INLINE int64_t pieces_of(const Normalize& n) {
  return (n.size + row_piece - 1) / row_piece;
}

void normalize_rows(const Normalize& n, const float* input, float* output, int64_t rows,
                    Moments* moments, int threads) {
  const int64_t pieces = pieces_of(n);
  if (pieces == 1) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t row = 0; row < rows; ++row) {
      const float* in = input + row * n.size;
      const Scale scale(piece_moments(in, n.size), n.eps);
      write_piece(n, scale, row, 0, n.size, in, output + row * n.size);
    }
    return;
  }
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t item = 0; item < rows * pieces; ++item) {
    const int64_t at = item % pieces * row_piece;
    moments[item] = piece_moments(input + item / pieces * n.size + at, piece_at(at, n.size));
  }
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t item = 0; item < rows * pieces; ++item) {
    const int64_t row = item / pieces, at = item % pieces * row_piece;
    Moments all = moments[row * pieces];
    for (int64_t k = 1; k < pieces; ++k) all.add(moments[row * pieces + k]);
    write_piece(n, Scale(all, n.eps), row, at, piece_at(at, n.size), input + row * n.size + at,
                output + row * n.size + at);
  }
}

// V vectors of columns, the last one of `count` lanes; `first` is their row's first weight.
template <int V>
OPENWORK_INLINE void normalize_columns(const Normalize& n, int64_t first, const float* in,
                                       float* out, int count) {
  const auto at = [&](const float* from, int v) {
    return load_lanes(from + v * lanes, 0, v == V - 1 ? count : lanes);
  };
  vec mean[V]{}, rest[V]{}, factor[V]{};
  for (int64_t k = 0; k < n.size; ++k)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) mean[v] += at(in + k * n.inner, v);
  const vec share = broadcast(1.f / static_cast<float>(n.size));
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) mean[v] *= share;
  for (int64_t k = 0; k < n.size; ++k)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const vec difference = at(in + k * n.inner, v) - mean[v];
      rest[v] += difference;
      factor[v] += difference * difference;
    }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    rest[v] *= share;
    const vec variance = at_least(factor[v] * share - rest[v] * rest[v], vec{});
    factor[v] = 1.f / square_root(variance + n.eps);
  }
  for (int64_t k = 0; k < n.size; ++k) {
    const vec weight = broadcast(n.weight ? n.weight[first + k] : 1.f);
    const vec bias = broadcast(n.bias ? n.bias[first + k] : 0.f);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const vec value = (at(in + k * n.inner, v) - mean[v] - rest[v]) * factor[v] * weight + bias;
      store_lanes(out + k * n.inner + v * lanes, activate(n.activation, value),
                  v == V - 1 ? count : lanes);
    }
  }
}

void normalize(const Normalize& n, const float* input, float* output, int batch, float* workspace,
               int threads) {
  if (n.inner == 1)
    return normalize_rows(n, input, output, n.outer * batch, reinterpret_cast<Moments*>(workspace),
                          threads);
  constexpr int wide = 4 * lanes;
  const int64_t blocks = (n.inner + wide - 1) / wide;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t item = 0; item < n.outer * batch * blocks; ++item) {
    const int64_t row = item / blocks, at = item % blocks * wide, left = n.inner - at;
    const int64_t first = n.weight || n.bias ? row * n.size % n.weights : 0;
    const float* in = input + row * n.size * n.inner + at;
    float* out = output + row * n.size * n.inner + at;
    const int columns = left < wide ? static_cast<int>(left) : wide;
    const int vectors = ceil_div(columns, lanes), count = columns - (vectors - 1) * lanes;
    switch (vectors) {
      case 1:
        normalize_columns<1>(n, first, in, out, count);
        break;
      case 2:
        normalize_columns<2>(n, first, in, out, count);
        break;
      case 3:
        normalize_columns<3>(n, first, in, out, count);
        break;
      default:
        normalize_columns<4>(n, first, in, out, count);
    }
  }
}

int64_t workspace(const Normalize& n, int batch) {
  const int64_t pieces = pieces_of(n);
  return n.inner > 1 || pieces == 1
             ? 0
             : n.outer * batch * pieces * static_cast<int64_t>(sizeof(Moments) / sizeof(float));
}

OPENWORK_INLINE float reduce_row(Reduction reduction, const float* in, int64_t size) {
  const auto sum = [&](int64_t at, int64_t n) { return piece_sum(in + at, n); };
  switch (reduction) {
    case Reduction::mean:
      return static_cast<float>(in_pieces(size, sum) / static_cast<double>(size));
    case Reduction::sum:
      return static_cast<float>(in_pieces(size, sum));
    case Reduction::variance:
      return static_cast<float>(row_moments(in, size).squares / static_cast<double>(size));
    case Reduction::norm:
      return static_cast<float>(__builtin_sqrt(
          in_pieces(size, [&](int64_t at, int64_t n) { return piece_dot(in + at, in + at, n); })));
  }
  return 0;
}

// One vector of columns, of `count` lanes.
OPENWORK_INLINE vec reduce_columns(Reduction reduction, const float* in, int64_t size,
                                   int64_t stride, int count) {
  const auto at = [&](int64_t k) { return load_lanes(in + k * stride, 0, count); };
  const vec share = broadcast(1.f / static_cast<float>(size));
  vec sum{};
  if (reduction == Reduction::norm) {
    for (int64_t k = 0; k < size; ++k) sum += at(k) * at(k);
    return square_root(sum);
  }
  for (int64_t k = 0; k < size; ++k) sum += at(k);
  if (reduction == Reduction::sum) return sum;
  const vec mean = sum * share;
  vec rest{}, squares{};
  for (int64_t k = 0; k < size; ++k) {
    const vec difference = at(k) - mean;
    rest += difference;
    squares += difference * difference;
  }
  rest *= share;
  if (reduction == Reduction::variance) return at_least(squares * share - rest * rest, vec{});
  // An infinite mean has no difference from itself.
  return rest == rest ? mean + rest : mean;
}

void reduce(Reduction reduction, const float* input, float* output, int64_t outer, int64_t size,
            int64_t inner, int threads) {
  const int64_t columns = (inner + lanes - 1) / lanes;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t item = 0; item < outer * columns; ++item) {
    const int64_t row = item / columns, first = item % columns * lanes;
    const float* in = input + row * size * inner + first;
    if (inner == 1) {
      output[row] = reduce_row(reduction, in, size);
      continue;
    }
    const int count = inner - first < lanes ? static_cast<int>(inner - first) : lanes;
    store_lanes(output + row * inner + first, reduce_columns(reduction, in, size, inner, count),
                count);
  }
}

void dot(const float* input, const float* factors, float* output, int batch, int64_t rows,
         int64_t size, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t row = 0; row < rows * batch; ++row) {
    const float *a = input + row * size, *b = factors + row / rows * size;
    output[row] = static_cast<float>(
        in_pieces(size, [&](int64_t at, int64_t n) { return piece_dot(a + at, b + at, n); }));
  }
}

}  // namespace

const Normalizing normalizing{normalize, workspace, reduce, dot};

}  // namespace openwork::OPENWORK_NAMESPACE
