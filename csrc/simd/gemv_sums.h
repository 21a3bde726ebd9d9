// The core of the sparse linear layer: sums of one slice of rows, for one image or several.
//
// Neighbouring rows have about as many live inputs each, and these rise: what the rows of a slice
// read in one step lies close together, so inputs stay in the L1 cache however many there are.
#pragma once
#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

typedef float quad __attribute__((vector_size(16)));
typedef float memory_quad __attribute__((vector_size(16), aligned(4)));

// Never passed or returned: without AVX the calling convention has no place for wide ones.
template <int W>
struct Wide {
  typedef float type __attribute__((vector_size(W * 4)));
  typedef float memory __attribute__((vector_size(W * 4), aligned(4)));
};

// Steps ahead of the sums at which weights and indices are fetched: the hardware's prefetch stops
// at the end of each page.
constexpr int ahead = 32;

OPENWORK_INLINE void prefetch_step(const uint16_t* index, const float* weight, int units) {
  __builtin_prefetch(weight + ahead * lanes, 0, 3);
  __builtin_prefetch(index + ahead * units, 0, 3);
}

template <class T>
OPENWORK_INLINE T read_as(const void* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

// x[index] of four indices. They are read together: one by one they would take as many loads as
// the inputs do.
OPENWORK_INLINE quad inputs_of(const float* x, const uint16_t* index) {
  const uint64_t four = read_as<uint64_t>(index);
  const float* a = x + (four & 0xffff);
  const float* b = x + (four >> 16 & 0xffff);
  const float* c = x + (four >> 32 & 0xffff);
  const float* d = x + (four >> 48);
#if defined(__SSE4_1__)
  const __m128 two = _mm_insert_ps(_mm_load_ss(a), _mm_load_ss(b), 0x10);
  return (quad)_mm_insert_ps(_mm_insert_ps(two, _mm_load_ss(c), 0x20), _mm_load_ss(d), 0x30);
#else
  return quad{*a, *b, *c, *d};
#endif
}

// Sums of a slice of rows, `G` neighbours of which read the same inputs, for W images that lie side
// by side.
template <int G, int W>
struct SliceSums {
  static constexpr int units = lanes / G;
  typename Wide<W>::type sum[lanes] = {};

  OPENWORK_INLINE_MEMBER void add(const float* x, const uint16_t* index, const float* weight,
                                  int64_t steps) {
    for (; steps > 0; --steps, index += units, weight += lanes) {
      prefetch_step(index, weight, units);
#pragma GCC unroll 16
      for (int unit = 0; unit < units; ++unit) {
        const typename Wide<W>::type in =
            *reinterpret_cast<const typename Wide<W>::memory*>(x + index[unit] * W);
#pragma GCC unroll 16
        for (int lane = unit * G; lane < (unit + 1) * G; ++lane)
          sum[lane] += in * (weight[lane] - typename Wide<W>::type{});
      }
    }
  }

  // [lanes][W].
  OPENWORK_INLINE_MEMBER void write(float* to) const {
#pragma GCC unroll 16
    for (int lane = 0; lane < lanes; ++lane)
      *reinterpret_cast<typename Wide<W>::memory*>(to + lane * W) = sum[lane];
  }
};

// One image: lane l is row l's. Inputs are loaded one by one: gather instructions take twice as
// long (0.8 ns for each weight, 0.4 this way, on Cascade Lake).
template <int G>
struct SliceSums<G, 1> {
  static constexpr int units = lanes / G;
  quad sum[lanes / 4] = {};

  OPENWORK_INLINE_MEMBER void add(const float* x, const uint16_t* index, const float* weight,
                                  int64_t steps) {
    for (; steps > 0; --steps, index += units, weight += lanes) {
      prefetch_step(index, weight, units);
#pragma GCC unroll 4
      for (int q = 0; q < lanes / 4; ++q) {
        const quad w = *reinterpret_cast<const memory_quad*>(weight + q * 4);
        if constexpr (G == 1)
          sum[q] += inputs_of(x, index + q * 4) * w;
        else
          sum[q] += x[index[q * 4 / G]] * w;
      }
    }
  }

  OPENWORK_INLINE_MEMBER void write(float* to) const {
    for (int q = 0; q < lanes / 4; ++q) *reinterpret_cast<memory_quad*>(to + q * 4) = sum[q];
  }
};

#if defined(__AVX512F__)

// Four images of four rows in each vector: four instructions for each weight instead of five.
template <>
struct SliceSums<1, 4> {
  vec sum[4] = {};

  OPENWORK_INLINE_MEMBER void add(const float* x, const uint16_t* index, const float* weight,
                                  int64_t steps) {
    const ivec row{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
    for (; steps > 0; --steps, index += lanes, weight += lanes) {
      prefetch_step(index, weight, lanes);
      const vec weights = load(weight);
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {
        // Not __builtin_shuffle, which Clang lacks.
        const __m512i order = (__m512i)(row + v * 4);
        const vec spread = (vec)_mm512_maskz_permutexvar_ps(0xffff, order, (__m512)weights);
        sum[v] += four_rows(x, index + v * 4) * spread;
      }
    }
  }

  OPENWORK_INLINE_MEMBER void write(float* to) const {
    for (int v = 0; v < 4; ++v) store(to + v * lanes, sum[v]);
  }

 private:
  // Indices become distances in bytes as they are taken apart: no address has factors above 8.
  OPENWORK_INLINE vec four_rows(const float* x, const uint16_t* index) {
    const uint64_t four = read_as<uint64_t>(index);
    const auto at = [&](uint64_t bytes) {
      return _mm_loadu_ps(x + (bytes & 0xffff0) / sizeof(float));
    };
    __m512 in = _mm512_castps128_ps512(at(four << 4));
    in = _mm512_mask_broadcast_f32x4(in, 0x00f0, at(four >> 12));
    in = _mm512_mask_broadcast_f32x4(in, 0x0f00, at(four >> 28));
    return (vec)_mm512_mask_broadcast_f32x4(in, 0xf000, at(four >> 44));
  }
};

#endif

}  // namespace openwork::OPENWORK_NAMESPACE
