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

// Adds the residual to finished sums of one filter, applies the activation, and writes the results
// to consecutive pixels. `at`: the first pixel's offset in output and residual.
struct EpilogueWriter {
  const Epilogue& epilogue;
  const float* residual;
  float* output;

  EpilogueWriter(const Epilogue& epilogue, const Run& run)
      : epilogue(epilogue), residual(run.residual), output(run.output) {}

  OPENWORK_INLINE_MEMBER vec bias(int row) const {
    return epilogue.bias ? broadcast(epilogue.bias[row]) : vec{};
  }

  OPENWORK_INLINE_MEMBER void write_whole(vec sum, int64_t at) const {
    if (residual) sum += load(residual + at);
    store(output + at, activate(epilogue.activation, sum));
  }

  OPENWORK_INLINE_MEMBER void write_part(vec sum, int64_t at, int count) const {
    if (residual) sum += load_part(residual + at, 0, count);
    store_part(output + at, activate(epilogue.activation, sum), count);
  }

  // The first `count` lanes; all of them if `count` is larger, none if it is not positive.
  OPENWORK_INLINE_MEMBER void write_tail(vec sum, int64_t at, int count) const {
    if (count >= lanes)
      write_whole(sum, at);
    else if (count > 0)
      write_part(sum, at, count);
  }

  // V vectors side by side. The common cases branch once for all of them: at low densities a filter
  // has so few live inputs that branches per vector would cost as much as its multiply-adds.
  template <int V>
  OPENWORK_INLINE_MEMBER void write_line(const vec (&sum)[V], int64_t at, int count) const {
    if (count >= V * lanes && !residual && epilogue.activation == Activation::none) {
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) store(output + at + v * lanes, sum[v]);
    } else if (count >= V * lanes && !residual && epilogue.activation == Activation::relu) {
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v)
        store(output + at + v * lanes, activate(Activation::relu, sum[v]));
    } else {
      for (int v = 0; v < V; ++v) write_tail(sum[v], at + v * lanes, count - v * lanes);
    }
  }
};

}  // namespace openwork::OPENWORK_NAMESPACE
