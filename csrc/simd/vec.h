// One vector of floats, as wide as the instruction set this file is compiled for.
//
// Everything here and in the files that include it lives in one namespace per instruction set. No
// standard-library template is instantiated: the linker would keep one copy of it for all
// instruction sets, and an older CPU could then run the newest one's.
#pragma once
#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if !defined(OPENWORK_NAMESPACE)
#error "compile with -DOPENWORK_NAMESPACE=<instruction set>"
#endif

#define OPENWORK_INLINE_MEMBER inline __attribute__((always_inline))
#define OPENWORK_INLINE static OPENWORK_INLINE_MEMBER
#define OPENWORK_INLINE_LAMBDA __attribute__((always_inline))

namespace openwork::OPENWORK_NAMESPACE {

#if defined(__AVX512F__)
constexpr int lanes = 16;
constexpr int registers = 32;
#elif defined(__AVX2__)
constexpr int lanes = 8;
constexpr int registers = 16;
#elif defined(__aarch64__)
constexpr int lanes = 4;
constexpr int registers = 32;
#else
constexpr int lanes = 4;
constexpr int registers = 16;
#endif

typedef float vec __attribute__((vector_size(lanes * 4)));
// In memory: aligned as floats are. Vectors alias their elements only, unlike memcpy, so that
// stores do not make the compiler reload everything else.
typedef float memory_vec __attribute__((vector_size(lanes * 4), aligned(4)));
typedef int32_t ivec __attribute__((vector_size(lanes * 4)));

OPENWORK_INLINE int smaller(int a, int b) { return a < b ? a : b; }
OPENWORK_INLINE int larger(int a, int b) { return a > b ? a : b; }
OPENWORK_INLINE int ceil_div(int a, int b) { return (a + b - 1) / b; }
OPENWORK_INLINE int64_t round_up(int64_t a, int64_t b) { return (a + b - 1) / b * b; }

OPENWORK_INLINE vec broadcast(float value) { return value - vec{}; }

OPENWORK_INLINE vec load(const float* from) { return *reinterpret_cast<const memory_vec*>(from); }

OPENWORK_INLINE void store(float* to, vec value) { *reinterpret_cast<memory_vec*>(to) = value; }

#if !defined(__AVX2__)
// Not inline: unrolled kernels would hold hundreds of copies, and take minutes to compile.
[[gnu::noinline, maybe_unused]] static vec load_each(const float* from, uint32_t bits) {
  vec value{};
  for (int lane = 0; lane < lanes; ++lane)
    if (bits >> lane & 1) value[lane] = from[lane];
  return value;
}
#endif

// The lanes whose bits are set from memory, zero elsewhere; touches no byte outside them.
OPENWORK_INLINE vec load_masked(const float* from, uint32_t bits) {
#if defined(__AVX512F__)
  return (vec)_mm512_maskz_loadu_ps(static_cast<__mmask16>(bits), from);
#elif defined(__AVX2__)
  const __m256i own = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i set = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), own);
  return (vec)_mm256_maskload_ps(from, _mm256_cmpeq_epi32(set, own));
#else
  return load_each(from, bits);
#endif
}

OPENWORK_INLINE uint32_t lane_bits(int first, int last) { return (1u << last) - (1u << first); }

// Lanes [first, last) from memory, zero elsewhere.
OPENWORK_INLINE vec load_part(const float* from, int first, int last) {
  return load_masked(from, lane_bits(first, last));
}

OPENWORK_INLINE vec load_lanes(const float* from, int first, int last) {
  return last - first == lanes ? load(from) : load_part(from, first, last);
}

#if defined(__AVX2__) && !defined(__AVX512F__)
typedef float memory_half __attribute__((vector_size(16), aligned(4)));
typedef float memory_pair __attribute__((vector_size(8), aligned(4)));

// The first 1 to 7 lanes in up to three stores: one masked store takes 12 cycles on Zen 3.
OPENWORK_INLINE void store_pieces(float* to, vec value, int last) {
  memory_half half = __builtin_shufflevector(value, value, 0, 1, 2, 3);
  if (last & 4) {
    *reinterpret_cast<memory_half*>(to) = half;
    half = __builtin_shufflevector(value, value, 4, 5, 6, 7);
    to += 4;
  }
  if (last & 2) {
    *reinterpret_cast<memory_pair*>(to) = __builtin_shufflevector(half, half, 0, 1);
    half = __builtin_shufflevector(half, half, 2, 3, 2, 3);
    to += 2;
  }
  if (last & 1) *to = half[0];
}
#endif

// Lanes [0, last) to memory, not all of them.
OPENWORK_INLINE void store_part(float* to, vec value, int last) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << last) - 1), (__m512)value);
#elif defined(__AVX2__)
  store_pieces(to, value, last);
#else
  for (int lane = 0; lane < last; ++lane) to[lane] = value[lane];
#endif
}

OPENWORK_INLINE void store_lanes(float* to, vec value, int last) {
  if (last == lanes)
    store(to, value);
  else
    store_part(to, value, last);
}

// The larger and the smaller of x and a bound; NaN stays NaN: if one is NaN, the instruction gives
// the second. GCC makes two of a comparison.
OPENWORK_INLINE vec at_least(vec x, vec low) {
#if defined(__AVX512F__)
  // Masked: without a mask GCC 12 warns of what it leaves undefined.
  return (vec)_mm512_maskz_max_ps(0xffff, (__m512)low, (__m512)x);
#elif defined(__AVX2__)
  return (vec)_mm256_max_ps((__m256)low, (__m256)x);
#else
  return x < low ? low : x;
#endif
}

OPENWORK_INLINE vec at_most(vec x, vec high) {
#if defined(__AVX512F__)
  return (vec)_mm512_maskz_min_ps(0xffff, (__m512)high, (__m512)x);
#elif defined(__AVX2__)
  return (vec)_mm256_min_ps((__m256)high, (__m256)x);
#else
  return x > high ? high : x;
#endif
}

OPENWORK_INLINE void clear(float* output, int64_t count) {
  for (int64_t i = 0; i < count; ++i) output[i] = 0.f;
}

}  // namespace openwork::OPENWORK_NAMESPACE
