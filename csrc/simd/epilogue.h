// Bias, residual and activation on one vector of finished sums.
#pragma once
#include "../problem.h"
#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

// exp(x), error below 2 ulp on [-87, 88]; infinite from 88.4 on, never below exp(-87); NaN stays
// NaN.
OPENWORK_INLINE vec exponential(vec x) {
  // From 127.5 / log2(e) on, the exponent below is that of infinity.
  x = x > 89.f ? broadcast(89.f) : x;
  x = x < -87.f ? broadcast(-87.f) : x;
  const vec scaled = x * 1.44269504f;
  // Adding and subtracting 1.5 * 2^23 rounds to the nearest whole number.
  const vec shift = broadcast(12582912.f);
  const vec shifted = scaled + shift;
  const vec whole = shifted - shift;
  vec rest = x - whole * 0.693359375f;
  rest = rest + whole * 2.12194440e-4f;
  vec power = broadcast(1.9875691500e-4f);
  power = power * rest + 1.3981999507e-3f;
  power = power * rest + 8.3334519073e-3f;
  power = power * rest + 4.1665795894e-2f;
  power = power * rest + 1.6666665459e-1f;
  power = power * rest + 5.0000001201e-1f;
  power = power * rest * rest + rest + 1.f;
  const ivec exponent = ((ivec)shifted - (ivec)shift + 127) << 23;
  return power * (vec)exponent;
}

// Comparisons are written so that NaN passes through, as in torch.
OPENWORK_INLINE vec activate(Activation activation, vec x) {
  const vec zero{};
  const vec six = broadcast(6.f);
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return x < zero ? zero : x;
    case Activation::relu6:
      x = x < zero ? zero : x;
      return x > six ? six : x;
    case Activation::silu:
      return x / (exponential(-x) + 1.f);
    case Activation::hardswish: {
      vec gate = x + 3.f;
      gate = gate < zero ? zero : gate;
      gate = gate > six ? six : gate;
      return x * gate * (1.f / 6.f);
    }
    case Activation::sigmoid:
      return 1.f / (exponential(-x) + 1.f);
    case Activation::hardsigmoid: {
      vec gate = x + 3.f;
      gate = gate < zero ? zero : gate;
      gate = gate > six ? six : gate;
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
    x = x < low ? broadcast(low) : x;
    return x > high ? broadcast(high) : x;
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
