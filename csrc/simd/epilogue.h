// Bias, residual and activation on one vector of finished sums.
#pragma once
#include "../problem.h"
#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

// The nearest whole number of |x| < 2^22.
OPENWORK_INLINE vec nearest_whole(vec x) {
#if defined(__AVX512F__)
  return (vec)_mm512_maskz_roundscale_ps(0xffff, (__m512)x, 0);
#else
  // Adding and subtracting 1.5 * 2^23 rounds.
  const vec shift = broadcast(12582912.f);
  return (x + shift) - shift;
#endif
}

// x * 2^whole, `whole` from -126 to 128.
OPENWORK_INLINE vec scaled(vec x, vec whole) {
#if defined(__AVX512F__)
  return (vec)_mm512_maskz_scalef_ps(0xffff, (__m512)x, (__m512)whole);
#else
  // 2^128 is infinite.
  const ivec exponent = (__builtin_convertvector(whole, ivec) + 127) << 23;
  return x * (vec)exponent;
#endif
}

// exp(x) of N vectors, step by step for all of them, so that none waits for its own last step;
// error below 2 ulp on [-87, 88]; infinite from 88.4 on, from 88.8 on with AVX-512; never below
// exp(-87); NaN stays NaN.
template <int N>
OPENWORK_INLINE void exponentials(vec (&x)[N]) {
  vec whole[N], power[N];
#pragma GCC unroll 4
  for (int i = 0; i < N; ++i) {
    x[i] = at_least(at_most(x[i], broadcast(89.f)), broadcast(-87.f));
    whole[i] = nearest_whole(x[i] * 1.44269504f);
  }
#pragma GCC unroll 4
  for (int i = 0; i < N; ++i) {
    x[i] = x[i] - whole[i] * 0.693359375f;
    x[i] = x[i] + whole[i] * 2.12194440e-4f;
  }
#pragma GCC unroll 4
  for (int i = 0; i < N; ++i) power[i] = broadcast(1.9875691500e-4f) * x[i] + 1.3981999507e-3f;
#pragma GCC unroll 4
  for (int i = 0; i < N; ++i) power[i] = power[i] * x[i] + 8.3334519073e-3f;
#pragma GCC unroll 4
  for (int i = 0; i < N; ++i) power[i] = power[i] * x[i] + 4.1665795894e-2f;
#pragma GCC unroll 4
  for (int i = 0; i < N; ++i) power[i] = power[i] * x[i] + 1.6666665459e-1f;
#pragma GCC unroll 4
  for (int i = 0; i < N; ++i) power[i] = power[i] * x[i] + 5.0000001201e-1f;
#pragma GCC unroll 4
  for (int i = 0; i < N; ++i) x[i] = scaled(power[i] * x[i] * x[i] + x[i] + 1.f, whole[i]);
}

OPENWORK_INLINE vec exponential(vec x) {
  vec all[1] = {x};
  exponentials(all);
  return all[0];
}

// NaN passes through, as in torch.
OPENWORK_INLINE vec activate(Activation activation, vec x) {
  const vec zero{};
  const vec six = broadcast(6.f);
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return at_least(x, zero);
    case Activation::relu6:
      return at_most(at_least(x, zero), six);
    case Activation::silu:
      return x / (exponential(-x) + 1.f);
    case Activation::hardswish: {
      const vec gate = at_most(at_least(x + 3.f, zero), six);
      return x * gate * (1.f / 6.f);
    }
    case Activation::sigmoid:
      return 1.f / (exponential(-x) + 1.f);
    case Activation::hardsigmoid: {
      const vec gate = at_most(at_least(x + 3.f, zero), six);
      return gate * (1.f / 6.f);
    }
  }
  return x;
}

// Calls `body.template operator()<A>()` for the activation at hand.
template <class Body>
OPENWORK_INLINE void with_activation(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::none:
      return body.template operator()<Activation::none>();
    case Activation::relu:
      return body.template operator()<Activation::relu>();
    case Activation::relu6:
      return body.template operator()<Activation::relu6>();
    case Activation::silu:
      return body.template operator()<Activation::silu>();
    case Activation::hardswish:
      return body.template operator()<Activation::hardswish>();
    case Activation::sigmoid:
      return body.template operator()<Activation::sigmoid>();
    case Activation::hardsigmoid:
      return body.template operator()<Activation::hardsigmoid>();
  }
}

// Whether sums are written first and SiLU is applied to what was written. Beside a product its long
// chain of steps waits: of 672 sums at 14x14 it took 9 ns a vector of 8, and 4 ns afterwards.
OPENWORK_INLINE bool activates_later(Activation activation) {
  return registers == 16 && activation == Activation::silu;
}

template <int N>
OPENWORK_INLINE void silu_all(vec (&x)[N]) {
  vec power[N];
#pragma GCC unroll 4
  for (int i = 0; i < N; ++i) power[i] = -x[i];
  exponentials(power);
#pragma GCC unroll 4
  for (int i = 0; i < N; ++i) x[i] = x[i] / (power[i] + 1.f);
}

// SiLU of `count` floats in place.
[[gnu::noinline, maybe_unused]] static void silu_span(float* at, int64_t count) {
  constexpr int together = 4;
  int64_t i = 0;
  for (; i + together * lanes <= count; i += together * lanes) {
    vec x[together];
#pragma GCC unroll 4
    for (int v = 0; v < together; ++v) x[v] = load(at + i + v * lanes);
    silu_all(x);
#pragma GCC unroll 4
    for (int v = 0; v < together; ++v) store(at + i + v * lanes, x[v]);
  }
  for (; i < count; i += lanes) {
    const int here = static_cast<int>(count - i < lanes ? count - i : lanes);
    vec x[1] = {load_lanes(at + i, 0, here)};
    silu_all(x);
    store_lanes(at + i, x[0], here);
  }
}

// The same of V vectors in each of `rows` rows, `step` floats apart.
template <int V>
__attribute__((noinline)) static void silu_rows(float* at, int64_t step, int rows) {
  for (int row = 0; row < rows; ++row, at += step) {
    vec x[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) x[v] = load(at + v * lanes);
    silu_all(x);
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store(at + v * lanes, x[v]);
  }
}

// Adds the residual to finished sums of one filter, applies the activation, and writes the results
// to consecutive pixels. `at`: the first pixel's offset in output and residual.
struct EpilogueWriter {
  const Epilogue& epilogue;
  const float* residual;
  float* output;
  // Activations that only bound the sum share one path, which branches once for a whole line: at
  // low densities a filter has so few live inputs that branches per vector would cost as much as
  // its multiply-adds.
  bool bounds;
  float low = -__builtin_inff(), high = __builtin_inff();

  EpilogueWriter(const Epilogue& epilogue, const Run& run)
      : epilogue(epilogue), residual(run.residual), output(run.output) {
    const Activation activation = epilogue.activation;
    const bool relu6 = activation == Activation::relu6;
    const bool relu = relu6 || activation == Activation::relu;
    if (relu) low = 0.f;
    if (relu6) high = 6.f;
    bounds = relu || activation == Activation::none;
  }

  OPENWORK_INLINE_MEMBER vec bias(int row) const {
    return epilogue.bias ? broadcast(epilogue.bias[row]) : vec{};
  }

  // NaN passes, as in `activate`.
  OPENWORK_INLINE_MEMBER vec bounded(vec x) const {
    return at_most(at_least(x, broadcast(low)), broadcast(high));
  }

  // The first `count` lanes; all of them if `count` is larger, none if it is not positive.
  OPENWORK_INLINE_MEMBER void write_tail(vec sum, int64_t at, int count) const {
    if (count <= 0) return;
    count = smaller(count, lanes);
    if (residual) sum += load_lanes(residual + at, 0, count);
    store_lanes(output + at, activate(epilogue.activation, sum), count);
  }

  // V vectors side by side.
  template <int V>
  OPENWORK_INLINE_MEMBER void write_line(const vec (&sum)[V], int64_t at, int count) const {
    if (!bounds || count < V * lanes) return write_copy<V>(sum, at, lanes, V, count, lanes);
    if (residual) {
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v)
        store(output + at + v * lanes, bounded(sum[v] + load(residual + at + v * lanes)));
    } else {
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) store(output + at + v * lanes, bounded(sum[v]));
    }
  }

  // The first `rows` of R vectors, each `step` floats after the one before; `count` floats of each.
  template <int R>
  OPENWORK_INLINE_MEMBER void write_rows(const vec (&sum)[R], int64_t at, int64_t step, int rows,
                                         int count) const {
    if (!bounds || residual) return write_copy<R>(sum, at, step, rows, count, 0);
    if (count >= lanes) {
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r)
        if (r < rows) store(output + at + r * step, bounded(sum[r]));
    } else {
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r)
        if (r < rows) store_part(output + at + r * step, bounded(sum[r]), count);
    }
  }

 private:
  // The sums themselves would have to lie in memory from the start if they were handed to a
  // function that is not inlined.
  template <int V>
  OPENWORK_INLINE_MEMBER void write_copy(const vec (&sum)[V], int64_t at, int64_t step, int vectors,
                                         int count, int less) const {
    vec copy[V];
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) copy[v] = sum[v];
    write_vectors<V>(copy, at, step, vectors, count, less);
  }

  // Out of line: its code would be repeated for each tile and filter. Each vector has `less` floats
  // less to write than the one before it.
  template <int V>
  __attribute__((noinline)) void write_vectors(const vec (&sum)[V], int64_t at, int64_t step,
                                               int vectors, int count, int less) const {
    with_activation(epilogue.activation, [&]<Activation A>() {
      for (int v = 0; v < vectors; ++v, at += step, count -= less) {
        if (count <= 0) break;
        const int here = smaller(count, lanes);
        vec value = sum[v];
        if (residual) value += load_lanes(residual + at, 0, here);
        store_lanes(output + at, activate(A, value), here);
      }
    });
  }
};

}  // namespace openwork::OPENWORK_NAMESPACE
