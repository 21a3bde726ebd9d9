// f32-resample: weighted sums of rows into a line, then of the line's floats into a row of outputs.
#include "../resample.h"

#include <omp.h>

#include "over_vectors.h"
#include "step_table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

// in[place[0]], in[place[1]], ...: lanes [0, count).
OPENWORK_INLINE vec gather(const float* in, const int32_t* place, int count) {
#if defined(__AVX512F__)
  const __mmask16 mask = static_cast<__mmask16>((1u << count) - 1);
  const __m512i places = _mm512_maskz_loadu_epi32(mask, place);
  return (vec)_mm512_mask_i32gather_ps(_mm512_setzero_ps(), mask, places, in, 4);
#else
#if defined(__AVX2__)
  if (count == lanes) {
    const __m256i places = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(place));
    const __m256 mask = (__m256)_mm256_set1_epi32(-1);
    return (vec)_mm256_mask_i32gather_ps(_mm256_setzero_ps(), in, places, mask, 4);
  }
#endif
  vec value{};
  for (int lane = 0; lane < count; ++lane) value[lane] = in[place[lane]];
  return value;
#endif
}

OPENWORK_INLINE int64_t line_floats(const Resample& r) { return round_up(r.width, 16) + 16; }

// The line of input that output row `y` reads.
OPENWORK_INLINE const float* combine_rows(const Resample& r, const float* map, int y, float* line) {
  const ResampleAxis& rows = r.rows;
  if (!rows.weight) return map + static_cast<int64_t>(rows.place[y]) * r.width;
  over_vectors(r.width, [&](int64_t at, int n) {
    vec sum{};
    for (int t = 0; t < rows.taps; ++t) {
      const int i = t * rows.size + y;
      const vec value = load_lanes(map + static_cast<int64_t>(rows.place[i]) * r.width + at, 0, n);
      sum = t ? sum + value * rows.weight[i] : value * rows.weight[i];
    }
    store_lanes(line + at, sum, n);
  });
  return line;
}

OPENWORK_INLINE void combine_columns(const ResampleAxis& columns, const float* line, float* out) {
  over_vectors(columns.size, [&](int64_t at, int n) {
    vec sum = gather(line, columns.place + at, n);
    if (columns.weight) {
      sum *= load_lanes(columns.weight + at, 0, n);
      for (int t = 1; t < columns.taps; ++t) {
        const int64_t i = static_cast<int64_t>(t) * columns.size + at;
        sum += gather(line, columns.place + i, n) * load_lanes(columns.weight + i, 0, n);
      }
    }
    store_lanes(out + at, sum, n);
  });
}

void resample(const Resample& r, const float* input, float* output, int64_t maps, float* workspace,
              int threads) {
  const int64_t in_map = static_cast<int64_t>(r.height) * r.width;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t map = 0; map < maps; ++map) {
    float* line = workspace + omp_get_thread_num() * line_floats(r);
    float* out = output + map * r.rows.size * r.columns.size;
    for (int y = 0; y < r.rows.size; ++y, out += r.columns.size) {
      const bool again = y && !r.rows.weight && r.rows.place[y] == r.rows.place[y - 1];
      if (again)
        over_vectors(r.columns.size, [&](int64_t at, int n) {
          store_lanes(out + at, load_lanes(out - r.columns.size + at, 0, n), n);
        });
      else
        combine_columns(r.columns, combine_rows(r, input + map * in_map, y, line), out);
    }
  }
}

int64_t workspace(const Resample& r, int threads) { return threads * line_floats(r); }

}  // namespace

const Resampling resampling{resample, workspace};

}  // namespace openwork::OPENWORK_NAMESPACE
