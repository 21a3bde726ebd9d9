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
OPENWORK_INLINE uvec upper_halves(vec x) {
  const uvec bits = (uvec)x;
  const uvec nearest = bits + 0x7fffu + (bits >> 16 & 1u);
  return x != x ? bits | 0x400000u : nearest;
}

// What vec.h has for floats.
OPENWORK_INLINE vec to_floats(memory_halves halves) {
  return (vec)(__builtin_convertvector(halves, uvec) << 16);
}

OPENWORK_INLINE vec load(const bfloat16* from) {
  return to_floats(*reinterpret_cast<const memory_halves*>(from));
}

OPENWORK_INLINE vec load_part(const bfloat16* from, int first, int last) {
#if defined(__AVX512F__)
  const auto mask = static_cast<__mmask16>(lane_bits(first, last));
  return to_floats((memory_halves)_mm256_maskz_loadu_epi16(mask, from));
#else
  memory_halves halves{};
  for (int lane = first; lane < last; ++lane) halves[lane] = from[lane].bits;
  return to_floats(halves);
#endif
}

OPENWORK_INLINE vec load_lanes(const bfloat16* from, int first, int last) {
  return last - first == lanes ? load(from) : load_part(from, first, last);
}

OPENWORK_INLINE void store_lanes(bfloat16* to, vec value, int last) {
  const auto halves = __builtin_convertvector(upper_halves(value) >> 16, memory_halves);
  if (last == lanes) {
    *reinterpret_cast<memory_halves*>(to) = halves;
    return;
  }
#if defined(__AVX512F__)
  _mm256_mask_storeu_epi16(to, static_cast<__mmask16>(lane_bits(0, last)), (__m256i)halves);
#else
  for (int lane = 0; lane < last; ++lane) to[lane].bits = halves[lane];
#endif
}

// One number.
OPENWORK_INLINE float to_float(float value) { return value; }

OPENWORK_INLINE float to_float(bfloat16 value) {
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
