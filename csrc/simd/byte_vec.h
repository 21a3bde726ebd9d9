// Vectors of bytes, and of the int32 and float32 numbers that are made of them.
//
// Sixteen bytes side by side are a lane. `pixels` bytes of four channels are interleaved into four
// vectors of [pixel][channel]; vector j then holds pixels 4j to 4j+3 of each lane, and packing four
// vectors of int32 into bytes gives the pixels in their order again.
#pragma once
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

#if defined(__AVX512F__)
constexpr int pixels = 64;
#elif defined(__AVX2__)
constexpr int pixels = 32;
#else
constexpr int pixels = 16;
#endif

typedef uint8_t bytes __attribute__((vector_size(pixels)));
typedef uint8_t memory_bytes __attribute__((vector_size(pixels), aligned(1)));
typedef int16_t shorts __attribute__((vector_size(pixels)));
typedef int32_t ints __attribute__((vector_size(pixels)));
typedef float reals __attribute__((vector_size(pixels)));

OPENWORK_INLINE bytes load_bytes(const uint8_t* from) {
  return *reinterpret_cast<const memory_bytes*>(from);
}
OPENWORK_INLINE void store_bytes(uint8_t* to, bytes value) {
  *reinterpret_cast<memory_bytes*>(to) = value;
}

template <class T>
OPENWORK_INLINE void copy_ends(uint8_t* to, const uint8_t* from, int64_t count) {
  typedef T memory_number __attribute__((aligned(1), may_alias));
  const int64_t last = count - static_cast<int64_t>(sizeof(T));
  const T a = *reinterpret_cast<const memory_number*>(from);
  const T b = *reinterpret_cast<const memory_number*>(from + last);
  *reinterpret_cast<memory_number*>(to) = a;
  *reinterpret_cast<memory_number*>(to + last) = b;
}

// Fewer bytes than a vector has: their first and last, which may overlap.
OPENWORK_INLINE void copy_few(uint8_t* to, const uint8_t* from, int64_t count) {
  typedef uint8_t sixteen __attribute__((vector_size(16)));
  if (pixels > 16 && count >= 16) return copy_ends<sixteen>(to, from, count);
  if (count >= 8) return copy_ends<uint64_t>(to, from, count);
  if (count >= 4) return copy_ends<uint32_t>(to, from, count);
  for (int64_t i = 0; i < count; ++i) to[i] = from[i];
}

// The same, or all of a vector's.
OPENWORK_INLINE void copy_some(uint8_t* to, const uint8_t* from, int count) {
  if (count == pixels) return store_bytes(to, load_bytes(from));
  copy_few(to, from, count);
}

// `count` bytes, and no byte beside them.
OPENWORK_INLINE void copy_bytes(uint8_t* to, const uint8_t* from, int64_t count) {
  int64_t i = 0;
  for (; i + pixels <= count; i += pixels) store_bytes(to + i, load_bytes(from + i));
  if (i == count) return;
#if defined(__AVX512F__)
  const __mmask64 mask = (uint64_t{1} << (count - i)) - 1;
  _mm512_mask_storeu_epi8(to + i, mask, _mm512_maskz_loadu_epi8(mask, from + i));
#else
  copy_few(to + i, from + i, count - i);
#endif
}

OPENWORK_INLINE void set_bytes(uint8_t* to, uint8_t value, int64_t count) {
  const bytes all = bytes{} + value;
  int64_t i = 0;
  for (; i + pixels <= count; i += pixels) store_bytes(to + i, all);
  for (; i < count; ++i) to[i] = value;
}

OPENWORK_INLINE void copy_rows(uint8_t* to, int64_t to_pitch, const uint8_t* from,
                               int64_t from_pitch, int rows, int64_t count) {
  for (int y = 0; y < rows; ++y) copy_bytes(to + y * to_pitch, from + y * from_pitch, count);
}

// Bytes [place, place + count) of a vector, from and to where the first of them lies; touches no
// byte beside them.
OPENWORK_INLINE bytes load_part(bytes other, const uint8_t* from, int place, int count) {
#if defined(__AVX512F__)
  const __mmask64 mask = ~uint64_t{0} >> (64 - count) << place;
  return (bytes)_mm512_mask_loadu_epi8((__m512i)other, mask, from - place);
#else
  uint8_t line[pixels];
  store_bytes(line, other);
  copy_some(line + place, from, count);
  return load_bytes(line);
#endif
}
OPENWORK_INLINE void store_part(uint8_t* to, bytes value, int place, int count) {
#if defined(__AVX512F__)
  const __mmask64 mask = ~uint64_t{0} >> (64 - count) << place;
  _mm512_mask_storeu_epi8(to - place, mask, (__m512i)value);
#else
  uint8_t line[pixels];
  store_bytes(line, value);
  copy_some(to, line + place, count);
#endif
}

// Neighbours of the lower or upper half of each lane, in turns.
#if defined(__AVX512F__)
OPENWORK_INLINE bytes low8(bytes a, bytes b) {
  return (bytes)_mm512_unpacklo_epi8((__m512i)a, (__m512i)b);
}
OPENWORK_INLINE bytes high8(bytes a, bytes b) {
  return (bytes)_mm512_unpackhi_epi8((__m512i)a, (__m512i)b);
}
OPENWORK_INLINE bytes low16(bytes a, bytes b) {
  return (bytes)_mm512_unpacklo_epi16((__m512i)a, (__m512i)b);
}
OPENWORK_INLINE bytes high16(bytes a, bytes b) {
  return (bytes)_mm512_unpackhi_epi16((__m512i)a, (__m512i)b);
}
OPENWORK_INLINE shorts pack_ints(ints a, ints b) {
  return (shorts)_mm512_packs_epi32((__m512i)a, (__m512i)b);
}
OPENWORK_INLINE bytes pack_shorts(shorts a, shorts b) {
  return (bytes)_mm512_packus_epi16((__m512i)a, (__m512i)b);
}
OPENWORK_INLINE shorts add_saturating(shorts a, shorts b) {
  return (shorts)_mm512_adds_epi16((__m512i)a, (__m512i)b);
}
OPENWORK_INLINE ints madd(shorts a, shorts b) {
  return (ints)_mm512_madd_epi16((__m512i)a, (__m512i)b);
}
OPENWORK_INLINE bytes permute(bytes a, ints place) {
  return (bytes)_mm512_maskz_permutexvar_epi32(0xffff, (__m512i)place, (__m512i)a);
}
#elif defined(__AVX2__)
OPENWORK_INLINE bytes low8(bytes a, bytes b) {
  return (bytes)_mm256_unpacklo_epi8((__m256i)a, (__m256i)b);
}
OPENWORK_INLINE bytes high8(bytes a, bytes b) {
  return (bytes)_mm256_unpackhi_epi8((__m256i)a, (__m256i)b);
}
OPENWORK_INLINE bytes low16(bytes a, bytes b) {
  return (bytes)_mm256_unpacklo_epi16((__m256i)a, (__m256i)b);
}
OPENWORK_INLINE bytes high16(bytes a, bytes b) {
  return (bytes)_mm256_unpackhi_epi16((__m256i)a, (__m256i)b);
}
OPENWORK_INLINE shorts pack_ints(ints a, ints b) {
  return (shorts)_mm256_packs_epi32((__m256i)a, (__m256i)b);
}
OPENWORK_INLINE bytes pack_shorts(shorts a, shorts b) {
  return (bytes)_mm256_packus_epi16((__m256i)a, (__m256i)b);
}
OPENWORK_INLINE shorts add_saturating(shorts a, shorts b) {
  return (shorts)_mm256_adds_epi16((__m256i)a, (__m256i)b);
}
OPENWORK_INLINE ints madd(shorts a, shorts b) {
  return (ints)_mm256_madd_epi16((__m256i)a, (__m256i)b);
}
OPENWORK_INLINE bytes permute(bytes a, ints place) {
  return (bytes)_mm256_permutevar8x32_epi32((__m256i)a, (__m256i)place);
}
#else
OPENWORK_INLINE bytes low8(bytes a, bytes b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
OPENWORK_INLINE bytes high8(bytes a, bytes b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
                                 31);
}
OPENWORK_INLINE bytes low16(bytes a, bytes b) {
  return __builtin_shufflevector(a, b, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
}
OPENWORK_INLINE bytes high16(bytes a, bytes b) {
  return __builtin_shufflevector(a, b, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30,
                                 31);
}
OPENWORK_INLINE bytes permute(bytes a, ints) { return a; }
#if defined(__x86_64__)
OPENWORK_INLINE shorts pack_ints(ints a, ints b) {
  return (shorts)_mm_packs_epi32((__m128i)a, (__m128i)b);
}
OPENWORK_INLINE bytes pack_shorts(shorts a, shorts b) {
  return (bytes)_mm_packus_epi16((__m128i)a, (__m128i)b);
}
OPENWORK_INLINE shorts add_saturating(shorts a, shorts b) {
  return (shorts)_mm_adds_epi16((__m128i)a, (__m128i)b);
}
OPENWORK_INLINE ints madd(shorts a, shorts b) {
  return (ints)_mm_madd_epi16((__m128i)a, (__m128i)b);
}
#else
OPENWORK_INLINE int held(int value, int least, int most) {
  return value < least ? least : value > most ? most : value;
}
OPENWORK_INLINE shorts pack_ints(ints a, ints b) {
  shorts packed;
  for (int i = 0; i < 8; ++i)
    packed[i] = static_cast<int16_t>(held(i < 4 ? a[i] : b[i - 4], -32768, 32767));
  return packed;
}
OPENWORK_INLINE bytes pack_shorts(shorts a, shorts b) {
  bytes packed;
  for (int i = 0; i < 16; ++i)
    packed[i] = static_cast<uint8_t>(held(i < 8 ? a[i] : b[i - 8], 0, 255));
  return packed;
}
OPENWORK_INLINE shorts add_saturating(shorts a, shorts b) {
  shorts sum;
  for (int i = 0; i < 8; ++i) sum[i] = static_cast<int16_t>(held(a[i] + b[i], -32768, 32767));
  return sum;
}
OPENWORK_INLINE ints madd(shorts a, shorts b) {
  ints sum;
  for (int i = 0; i < 4; ++i) sum[i] = a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
  return sum;
}
#endif
#endif

// `count` bytes that are `step` apart.
OPENWORK_INLINE void copy_every(uint8_t* to, const uint8_t* from, int64_t count, int step) {
  if (step == 1) return copy_bytes(to, from, count);
  if (step == 2) {
#if defined(__AVX512F__)
    for (int64_t i = 0; i < count; i += 32) {
      const int64_t some = count - i < 32 ? count - i : 32;
      const __mmask64 mask = ~uint64_t{0} >> (65 - 2 * some);
      const __m512i pairs = _mm512_maskz_loadu_epi8(mask, from + 2 * i);
      _mm256_mask_storeu_epi8(to + i, static_cast<__mmask32>((uint64_t{1} << some) - 1),
                              _mm512_maskz_cvtepi16_epi8(~0u, pairs));
    }
#else
    int64_t i = 0;
#if defined(__x86_64__)
    // The last of these reads one byte beyond the last that is wanted.
    for (; i + pixels / 2 < count; i += pixels / 2) {
      const shorts even = (shorts)load_bytes(from + 2 * i) & 255;
      const bytes packed = pack_shorts(even, even);
#if defined(__AVX2__)
      const __m256i halves = _mm256_permute4x64_epi64((__m256i)packed, 0x08);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm256_castsi256_si128(halves));
#else
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to + i), (__m128i)packed);
#endif
    }
#endif
    for (; i < count; ++i) to[i] = from[2 * i];
#endif
    return;
  }
  for (int64_t i = 0; i < count; ++i) to[i] = from[i * step];
}

// Bytes of each lane in another order.
template <int... Order>
OPENWORK_INLINE bytes shuffle_lanes(bytes a) {
#if defined(__AVX2__)
  const __m128i order = _mm_setr_epi8(Order...);
#if defined(__AVX512F__)
  return (bytes)_mm512_shuffle_epi8((__m512i)a, _mm512_maskz_broadcast_i32x4(0xffff, order));
#else
  return (bytes)_mm256_shuffle_epi8((__m256i)a, _mm256_broadcastsi128_si256(order));
#endif
#else
  return __builtin_shufflevector(a, a, Order...);
#endif
}

// The first eight bytes of all lanes, then their others.
OPENWORK_INLINE bytes first_halves(bytes a) {
  constexpr int half = pixels / 8;
  ints place{};
  for (int i = 0; i < 2 * half; ++i) place[i] = i % half / 2 * 4 + i / half * 2 + i % 2;
  return permute(a, place);
}

// Four weights, for all pixels.
OPENWORK_INLINE ints broadcast_quad(const int8_t* weight) {
  typedef int32_t memory_int __attribute__((aligned(1), may_alias));
  return *reinterpret_cast<const memory_int*>(weight) - ints{};
}

// sum + the products of four channels with their weights. Where one instruction does not do it,
// channels 0 and 2, then 1 and 3 are multiplied as 16-bit numbers: products of bytes added in 16
// bits, as AVX2 does in one instruction, would saturate.
OPENWORK_INLINE ints dot(ints sum, bytes x, ints weight) {
#if defined(__AVX512VNNI__)
  return (ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)x, (__m512i)weight);
#elif defined(__AVXVNNI__)
  return (ints)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)x, (__m256i)weight);
#else
  typedef uint16_t ushorts __attribute__((vector_size(pixels)));
  const shorts even = (shorts)((ushorts)x & 255), odd = (shorts)((ushorts)x >> 8);
  const shorts w = (shorts)weight;
  return sum + madd(even, (shorts)((ushorts)w << 8) >> 8) + madd(odd, w >> 8);
#endif
}

// Whether products are added in 16 bits where the weights fit, as `BytePlan::narrow` says.
#if defined(__AVX2__) && !defined(__AVX512F__) && !defined(__AVXVNNI__)
constexpr bool narrow_sums = true;
// The products of channels 0 and 1, then 2 and 3, with their weights.
OPENWORK_INLINE shorts pair_products(bytes x, ints weight) {
  return (shorts)_mm256_maddubs_epi16((__m256i)x, (__m256i)weight);
}
#else
constexpr bool narrow_sums = false;
OPENWORK_INLINE shorts pair_products(bytes x, ints) { return (shorts)x; }
#endif
// `dot` of weights that fit 16 bits.
OPENWORK_INLINE ints narrow_dot(ints sum, bytes x, ints weight) {
  if constexpr (narrow_sums)
    return sum + madd(pair_products(x, weight), shorts{} + 1);
  else
    return dot(sum, x, weight);
}
// The sum of two of them, added before they are widened.
OPENWORK_INLINE ints narrow_dots(ints sum, bytes x, ints weight, bytes y, ints other) {
  if constexpr (narrow_sums)
    return sum + madd(pair_products(x, weight) + pair_products(y, other), shorts{} + 1);
  else
    return dot(dot(sum, x, weight), y, other);
}

// Bytes of a tile of V vectors: moves pixel 4 * (V * lane + j) on to where vector j has it.
template <int V>
OPENWORK_INLINE bytes spread(bytes a) {
  if constexpr (V == 4 || pixels == 16) return a;
  ints place{};
  for (int i = 0; i < pixels / 4; ++i) place[i] = i % 4 < V ? V * (i / 4) + i % 4 : 0;
  return permute(a, place);
}

// The inverse.
template <int V>
OPENWORK_INLINE bytes collect(bytes a) {
  if constexpr (V == 4 || pixels == 16) return a;
  ints place{};
  for (int i = 0; i < pixels / 16 * V; ++i) place[i] = 4 * (i / V) + i % V;
  return permute(a, place);
}

// A float is 2^23 and its lowest byte together, if nothing but these bytes is set.
constexpr int float_of_byte = 1 << 23;

// The bytes of a tile as such floats, in the order of four vectors.
OPENWORK_INLINE void widened(bytes a, bytes (&wide)[4]) {
  const bytes low = low8(a, bytes{}), high = high8(a, bytes{});
  const bytes top = (bytes)(shorts{} + 0x4b00);
  wide[0] = low16(low, top), wide[1] = high16(low, top);
  wide[2] = low16(high, top), wide[3] = high16(high, top);
}

OPENWORK_INLINE reals to_floats(ints value) { return __builtin_convertvector(value, reals); }

// Of equal numbers `value` is kept: zeros may differ in their sign.
OPENWORK_INLINE reals between(reals value, float least, float most) {
  return at_most(at_least(value, reals{} + least), reals{} + most);
}

OPENWORK_INLINE bytes greater(bytes a, bytes b) { return a < b ? b : a; }

// To the nearest, halves to even, of numbers up to 2^21; far below zero some negative number.
OPENWORK_INLINE ints nearest(reals value) {
#if defined(__AVX512F__)
  return (ints)_mm512_maskz_cvtps_epi32(0xffff, (__m512)value);
#elif defined(__AVX2__)
  return (ints)_mm256_cvtps_epi32((__m256)value);
#elif defined(__x86_64__)
  return (ints)_mm_cvtps_epi32((__m128)value);
#else
  // A float beside 1.5 * 2^23 has no bits after the point, and its lowest bits are the number.
  const reals least = reals{} - 2097152.f;
  return (ints)((value < least ? least : value) + 12582912.f) - 0x4b400000;
#endif
}

}  // namespace openwork::OPENWORK_NAMESPACE
