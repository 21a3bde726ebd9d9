// Functions of one vector. Errors are a few epsilons of the result; NaN stays NaN.
#pragma once
#include "../functions.h"
#include "epilogue.h"

namespace openwork::OPENWORK_NAMESPACE {

OPENWORK_INLINE vec magnitude(vec x) { return (vec)((ivec)x & 0x7fffffff); }

// exp(x), zero below -87.
OPENWORK_INLINE vec exponential_or_zero(vec x) { return x < -87.f ? vec{} : exponential(x); }

// exp(x) - 1.
OPENWORK_INLINE vec exponential_minus_one(vec x) {
  // Below -17.5, the result rounds to -1.
  const vec y = at_least(at_most(x, broadcast(80.f)), broadcast(-17.5f));
  const vec shift = broadcast(12582912.f);
  const vec shifted = y * 1.44269504f + shift;
  const vec whole = shifted - shift;
  vec rest = y - whole * 0.693359375f;
  rest = rest + whole * 2.12194440e-4f;
  vec power = broadcast(1.9875691500e-4f);
  power = power * rest + 1.3981999507e-3f;
  power = power * rest + 8.3334519073e-3f;
  power = power * rest + 4.1665795894e-2f;
  power = power * rest + 1.6666665459e-1f;
  power = power * rest + 5.0000001201e-1f;
  power = power * rest * rest + rest;
  const vec scale = (vec)(((ivec)shifted - (ivec)shift + 127) << 23);
  return x > 80.f ? exponential(x) : scale * power + (scale - 1.f);
}

// log(x) of normal positive numbers and NaN.
OPENWORK_INLINE vec logarithm(vec x) {
  ivec exponent = ((ivec)x >> 23) - 126;
  vec part = (vec)(((ivec)x & 0x007fffff) | 0x3f000000);
  const ivec small = part < 0.707106781f;
  exponent += small;  // -1 where small
  part = (small ? part + part : part) - 1.f;
  const vec square = part * part;
  vec series = broadcast(7.0376836292e-2f);
  series = series * part - 1.1514610310e-1f;
  series = series * part + 1.1676998740e-1f;
  series = series * part - 1.2420140846e-1f;
  series = series * part + 1.4249322787e-1f;
  series = series * part - 1.6668057665e-1f;
  series = series * part + 2.0000714765e-1f;
  series = series * part - 2.4999993993e-1f;
  series = series * part + 3.3333331174e-1f;
  series = series * part * square;
  const vec twos = __builtin_convertvector(exponent, vec);
  series = series - twos * 2.12194440e-4f - square * 0.5f;
  return x == x ? part + series + twos * 0.693359375f : x;
}

// log(1 + exp(x)).
OPENWORK_INLINE vec soft_plus(vec x) {
  const vec power = exponential_or_zero(-magnitude(x));
  const vec sum = power + 1.f;
  // What the sum lost by rounding.
  const vec rest = (power - (sum - 1.f)) / sum;
  return (x < 0.f ? vec{} : x) + (logarithm(sum) + rest);
}

OPENWORK_INLINE vec hyperbolic_tangent(vec x) {
  x = at_least(at_most(x, broadcast(10.f)), broadcast(-10.f));
  const vec power = exponential_minus_one(x * 2.f);
  return power / (power + 2.f);
}

// The error function, as a quotient of polynomials.
OPENWORK_INLINE vec error_function(vec x) {
  const vec y = magnitude(x) > 4.f ? broadcast(4.f) : x;
  const vec square = y * y;
  vec above = broadcast(-2.72614225801306e-10f);
  above = above * square + 2.77068142495902e-08f;
  above = above * square - 2.10102402082508e-06f;
  above = above * square - 5.69250639462346e-05f;
  above = above * square - 7.34990630326855e-04f;
  above = above * square - 2.95459980854025e-03f;
  above = above * square - 1.60960333262415e-02f;
  vec below = broadcast(-1.45660718464996e-05f);
  below = below * square - 2.13374055278905e-04f;
  below = below * square - 1.68282697438203e-03f;
  below = below * square - 7.37332916720468e-03f;
  below = below * square - 1.42647390514189e-02f;
  const vec inside = y * above / below;
  const vec one = x < 0.f ? broadcast(-1.f) : broadcast(1.f);
  return magnitude(x) > 3.9f ? one : inside;
}

OPENWORK_INLINE vec square_root(vec x) {
#if defined(__AVX512F__)
  // Unlike _mm512_sqrt_ps, it names no undefined register, which GCC warns about.
  return (vec)_mm512_maskz_sqrt_ps(0xffff, (__m512)x);
#elif defined(__AVX2__)
  return (vec)_mm256_sqrt_ps((__m256)x);
#else
  for (int lane = 0; lane < lanes; ++lane) x[lane] = __builtin_sqrtf(x[lane]);
  return x;
#endif
}

// `n`: the parameters, named where they are used.
template <Function F>
OPENWORK_INLINE vec apply(const float (&n)[most_parameters], vec x) {
  switch (F) {
    case Function::abs:
      return magnitude(x);
    case Function::clamp:  // least, most
      return at_most(at_least(x, broadcast(n[0])), broadcast(n[1]));
    case Function::elu:  // factor of the exponential, factor of positive numbers, of the exponent
      return x <= 0.f ? exponential_minus_one(x * n[2]) * n[0] : x * n[1];
    case Function::erf:
      return error_function(x);
    case Function::exp:
      return exponential_or_zero(x);
    case Function::gelu:
      return x * 0.5f * (error_function(x * 0.707106781f) + 1.f);
    case Function::gelu_tanh:
      return x * 0.5f * (hyperbolic_tangent((x + x * x * x * 0.044715f) * 0.797884561f) + 1.f);
    case Function::log_sigmoid:
      return -soft_plus(-x);
    case Function::mish: {
      const vec power = exponential_or_zero(x > 20.f ? broadcast(20.f) : x);
      const vec sum = power * (power + 2.f);
      return x > 20.f ? x : x * (sum / (sum + 2.f));
    }
    case Function::reciprocal:
      return 1.f / x;
    case Function::softplus: {  // factor, threshold
      const vec scaled = x * n[0];
      return scaled > n[1] ? x : soft_plus(scaled) / n[0];
    }
    case Function::sqrt:
      return square_root(x);
    case Function::square:
      return x * x;
    case Function::tanh:
      return hyperbolic_tangent(x);
  }
  return x;
}

template <Operation O>
OPENWORK_INLINE vec combine(vec a, vec b) {
  switch (O) {
    case Operation::difference:
      return a - b;
    case Operation::product:
      return a * b;
    case Operation::quotient:
      return a / b;
    case Operation::sum:
      return a + b;
  }
  return a;
}

}  // namespace openwork::OPENWORK_NAMESPACE
