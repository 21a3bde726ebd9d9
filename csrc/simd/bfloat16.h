// bfloat16 in memory: the upper half of a float.
#pragma once
#include "../map_type.h"
#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

typedef uint32_t uvec __attribute__((vector_size(lanes * 4)));

struct bfloat16 {
  uint16_t bits;
};

// In memory: aligned as one number is.
typedef uint16_t memory_halves __attribute__((vector_size(lanes * 2), aligned(2)));

// The nearest bfloat16 in the upper half of each lane, halves to even; below it anything. NaN stays
// NaN, and what lies beyond the largest number becomes infinite.
[[maybe_unused]] OPENWORK_INLINE uvec upper_halves(vec x) {
  const uvec bits = (uvec)x;
  const uvec nearest = bits + 0x7fffu + (bits >> 16 & 1u);
  return x != x ? bits | 0x400000u : nearest;
}

// Lanes [first, last) from memory, zero elsewhere.
[[maybe_unused]] OPENWORK_INLINE vec load_range(const bfloat16* from, int first, int last) {
#if defined(__AVX512F__)
  const auto mask = static_cast<__mmask16>(lane_bits(first, last));
  const auto halves = (memory_halves)_mm256_maskz_loadu_epi16(mask, from);
#else
  memory_halves halves{};
  for (int lane = first; lane < last; ++lane) halves[lane] = from[lane].bits;
#endif
  return (vec)(__builtin_convertvector(halves, uvec) << 16);
}

[[maybe_unused]] OPENWORK_INLINE vec load_range(const float* from, int first, int last) {
  return load_part(from, first, last);
}

// The first `count` lanes from memory, zero elsewhere.
[[maybe_unused]] OPENWORK_INLINE vec load_first(const bfloat16* from, int count) {
  if (count < lanes) return load_range(from, 0, count);
  const auto halves = *reinterpret_cast<const memory_halves*>(from);
  return (vec)(__builtin_convertvector(halves, uvec) << 16);
}

[[maybe_unused]] OPENWORK_INLINE vec load_first(const float* from, int count) {
  return load_lanes(from, 0, count);
}

// The first `count` lanes to memory.
[[maybe_unused]] OPENWORK_INLINE void store_first(bfloat16* to, vec value, int count) {
  const auto halves = __builtin_convertvector(upper_halves(value) >> 16, memory_halves);
  if (count == lanes) {
    *reinterpret_cast<memory_halves*>(to) = halves;
    return;
  }
#if defined(__AVX512F__)
  _mm256_mask_storeu_epi16(to, static_cast<__mmask16>(lane_bits(0, count)), (__m256i)halves);
#else
  for (int lane = 0; lane < count; ++lane) to[lane].bits = halves[lane];
#endif
}

[[maybe_unused]] OPENWORK_INLINE void store_first(float* to, vec value, int count) {
  store_lanes(to, value, count);
}

// One number.
[[maybe_unused]] OPENWORK_INLINE float to_float(float value) { return value; }

[[maybe_unused]] OPENWORK_INLINE float to_float(bfloat16 value) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(value.bits) << 16);
}

template <class T>
OPENWORK_INLINE T from_float(float value) {
  if constexpr (sizeof(T) == sizeof(float))
    return value;
  else
    return T{static_cast<uint16_t>(upper_halves(broadcast(value))[0] >> 16)};
}

// Calls `body` with the type of the maps as its template argument.
template <class Body>
OPENWORK_INLINE auto with_type(MapType type, const Body& body) {
  if (type == MapType::bfloat16) return body.template operator()<bfloat16>();
  return body.template operator()<float>();
}

}  // namespace openwork::OPENWORK_NAMESPACE
