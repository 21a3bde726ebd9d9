// Pairs of bfloat16 numbers: a column of a tile as 16-bit words, two columns interleaved pixel by
// pixel, and `vdpbf16ps`, which multiplies them by pairs of weights.
//
// Two things use the instructions of AVX-512 BF16: `joined` and `dot`. Everywhere else they are
// emulated, and give the same bits, also for infinities; what the bits of a NaN are is not
// promised.
#pragma once
#include "bfloat16.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace openwork::OPENWORK_NAMESPACE {

// Of two vectors of pixels: in each 16 bytes, four of the
// first and four of the second, as the instructions that interleave within 16 bytes need them.
typedef uint16_t words __attribute__((vector_size(lanes * 4)));
typedef uint16_t memory_words __attribute__((vector_size(lanes * 4), aligned(2)));

// Words of one column of V vectors: those of an odd one are half zeros.
constexpr int words_of(int vectors) { return (vectors + 1) / 2 * 2 * lanes; }

OPENWORK_INLINE words load_words(const uint16_t* from) {
  return *reinterpret_cast<const memory_words*>(from);
}

OPENWORK_INLINE void store_words(uint16_t* to, words value) {
  *reinterpret_cast<memory_words*>(to) = value;
}

// Two weights in 32 bits, for all lanes.
OPENWORK_INLINE uvec broadcast_pair(int32_t pair) { return static_cast<uint32_t>(pair) + uvec{}; }

// Denormal numbers as zeros of their sign: the instructions take and give none, whatever MXCSR
// says.
[[maybe_unused]] OPENWORK_INLINE vec flushed(vec x) {
  const uvec denormal = (uvec)(((uvec)x & 0x7f800000u) == 0u);
  return (vec)((uvec)x & ~(denormal & 0x7fffffffu));
}

// As `vcvtne2ps2bf16` rounds.
[[maybe_unused]] OPENWORK_INLINE uvec rounded(vec x) { return upper_halves(flushed(x)); }

// Two vectors of pixels, rounded.
OPENWORK_INLINE words joined(vec first, vec second) {
#if defined(__AVX512BF16__)
  // The lower half holds the second operand's numbers. Then four words at a time take turns.
  const __v8di both = (__v8di)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
  return (words)__builtin_shufflevector(both, both, 0, 4, 1, 5, 2, 6, 3, 7);
#elif defined(__AVX512F__)
  return (words)_mm512_packus_epi32((__m512i)(rounded(first) >> 16),
                                    (__m512i)(rounded(second) >> 16));
#elif defined(__AVX2__)
  return (words)_mm256_packus_epi32((__m256i)(rounded(first) >> 16),
                                    (__m256i)(rounded(second) >> 16));
#else
  return __builtin_shufflevector((words)rounded(first), (words)rounded(second), 1, 3, 5, 7, 9, 11,
                                 13, 15);
#endif
}

// Pairs of two columns' pixels, `a` in the lower half: of the first vector that was joined, and of
// the second.
OPENWORK_INLINE uvec first_pairs(words a, words b) {
#if defined(__AVX512F__)
  return (uvec)_mm512_unpacklo_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (uvec)_mm256_unpacklo_epi16((__m256i)a, (__m256i)b);
#else
  return (uvec)__builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
#endif
}

OPENWORK_INLINE uvec second_pairs(words a, words b) {
#if defined(__AVX512F__)
  return (uvec)_mm512_unpackhi_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (uvec)_mm256_unpackhi_epi16((__m256i)a, (__m256i)b);
#else
  return (uvec)__builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#endif
}

#if !defined(__AVX512BF16__)
// a * b + c, rounded once.
OPENWORK_INLINE vec fused(vec a, vec b, vec c) {
#if defined(__AVX512F__)
  return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
  return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  vec sum;
  for (int lane = 0; lane < lanes; ++lane) sum[lane] = __builtin_fmaf(a[lane], b[lane], c[lane]);
  return sum;
#endif
}
#endif

// sum + x.upper * w.upper + x.lower * w.lower, the upper halves first, each product added with one
// rounding to the nearest, halves to even (Intel SDM, VDPBF16PS: "srcdest.fp32[i] += ..." for
// element 2i + 1, then for 2i, denormals as zeros before and after each).
//
// Emulated, it is a call, for unrolled kernels would take minutes to compile, and a sum that rounds
// up from below the least normal number to just that number stays, where the instruction may give
// zero: sums within 2^-151 of 2^-126.
#if defined(__AVX512BF16__)
OPENWORK_INLINE vec dot(vec sum, uvec x, uvec w) {
  return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)w);
}
#else
[[gnu::noinline, maybe_unused]] static vec dot(vec sum, uvec x, uvec w) {
  const vec upper_x = flushed((vec)(x & 0xffff0000u)), lower_x = flushed((vec)(x << 16));
  const vec upper_w = flushed((vec)(w & 0xffff0000u)), lower_w = flushed((vec)(w << 16));
  const vec half = flushed(fused(upper_x, upper_w, flushed(sum)));
  return flushed(fused(lower_x, lower_w, half));
}
#endif

}  // namespace openwork::OPENWORK_NAMESPACE
