// Filters that read one channel of bytes each: four neighbours of a row are multiplied at once.
#pragma once
#include <omp.h>

#include "../bytes.h"
#include "byte_vec.h"

namespace openwork::OPENWORK_NAMESPACE {

// For each of pixels / 4 outputs the four bytes from its own on; they are `Stride` bytes apart.
template <int Stride>
OPENWORK_INLINE bytes windows(const uint8_t* from) {
  const bytes line = load_bytes(from);
#if defined(__AVX2__)
  ints place{};
  bytes order{};
  for (int i = 0; i < pixels / 4; ++i) place[i] = Stride * (i / 4) + i % 4;
  for (int i = 0; i < pixels; ++i) order[i] = Stride * (i % 16 / 4) + i % 4;
  const bytes spread = permute(line, place);
#if defined(__AVX512F__)
  return (bytes)_mm512_shuffle_epi8((__m512i)spread, (__m512i)order);
#else
  return (bytes)_mm256_shuffle_epi8((__m256i)spread, (__m256i)order);
#endif
#else
  if constexpr (Stride == 1)
    return __builtin_shufflevector(line, line, 0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6);
  else
    return __builtin_shufflevector(line, line, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7, 6, 7, 8, 9);
#endif
}

struct ByteDepthwise {
  const BytePlan& plan;
  const ByteRun& run;
  const Geometry& g;
  int width, rows;  // of the padded map
  bool flat;        // all rows of outputs as one, with what lies between them
  int length, pitch, lines;

  ByteDepthwise(const BytePlan& p, const ByteRun& r) : plan(p), run(r), g(p.geometry) {
    width = g.width + 2 * g.pad_x;
    rows = g.height + 2 * g.pad_y;
    flat = g.stride_x == 1 && g.stride_y == 1;
    length = flat ? (g.out_height - 1) * width + g.out_width : g.out_width;
    pitch = flat ? width : static_cast<int>(round_up(g.out_width, pixels / 4));
    lines = flat ? 1 : g.out_height;
  }

  int64_t map_bytes() const { return round_up(int64_t{1} * rows * width + 2 * pixels + 16, 64); }
  int64_t floats() const {
    return (map_bytes() + round_up(int64_t{1} * g.out_height * pitch + pixels, 64)) / 4;
  }

  void filter(int64_t image, int filter, uint8_t* memory) const {
    const int channel = filter / (g.out_channels / g.in_channels);
    const int64_t map = static_cast<int64_t>(g.out_height) * g.out_width;
    fill(run.input + image * run.in_image + int64_t{channel} * g.height * g.width, memory);
    uint8_t* results = memory + map_bytes();
    for (int line = 0; line < lines; ++line) {
      const uint8_t* from = memory + int64_t{line} * g.stride_y * width;
      uint8_t* to = results + int64_t{line} * pitch;
      if (g.stride_x == 1)
        outputs<1>(filter, from, to);
      else
        outputs<2>(filter, from, to);
    }
    uint8_t* output = static_cast<uint8_t*>(run.output) + image * run.out_image + filter * map;
    for (int y = 0; y < g.out_height; ++y)
      copy_bytes(output + int64_t{y} * g.out_width, results + int64_t{y} * pitch, g.out_width);
  }

 private:
  void fill(const uint8_t* map, uint8_t* to) const {
    const uint8_t zero = static_cast<uint8_t>(plan.zero);
    for (int i = 0; i < g.pad_y * width + g.pad_x; ++i) to[i] = zero;
    uint8_t* row = to + g.pad_y * width + g.pad_x;
    for (int y = 0; y < g.height; ++y, row += width, map += g.width) {
      copy_bytes(row, map, g.width);
      for (int i = g.width; i < width; ++i) row[i] = zero;
    }
    const uint8_t* end = to + int64_t{rows} * width;
    for (; row < end; ++row) *row = zero;
  }

  template <int Stride>
  OPENWORK_INLINE_MEMBER void outputs(int filter, const uint8_t* from, uint8_t* to) const {
    typedef uint8_t quarter __attribute__((vector_size(pixels / 4)));
    typedef uint8_t memory_quarter __attribute__((vector_size(pixels / 4), aligned(1)));
    const int fours = ceil_div(g.kernel_x, 4);
    const int64_t step = int64_t{g.dilation_y} * width;
    const int8_t* weight = plan.weight + int64_t{filter} * g.kernel_y * fours * 4;
    const float scale = plan.scale[filter], bias = plan.bias[filter];
    const ints first = ints{} + plan.offset[filter];
    for (int x = 0; x < length; x += pixels / 4) {
      ints sum = first;
      const uint8_t* at = from + int64_t{x} * Stride;
      const int8_t* w = weight;
      for (int ky = 0; ky < g.kernel_y; ++ky, at += step)
        for (int four = 0; four < fours; ++four, w += 4)
          sum = dot(sum, windows<Stride>(at + 4 * four), broadcast_quad(w));
      const reals value = between(to_floats(sum) * scale + bias, plan.least, plan.most);
      const ints q = rounded(value) + plan.out_zero;
      *reinterpret_cast<memory_quarter*>(to + x) = __builtin_convertvector(q, quarter);
    }
  }
};

OPENWORK_INLINE void run_depthwise(const BytePlan& plan, const ByteRun& r) {
  const ByteDepthwise work(plan, r);
  const int64_t filters = plan.geometry.out_channels, each = round_up(work.floats(), 16);
#pragma omp parallel num_threads(r.threads)
  {
    uint8_t* memory = reinterpret_cast<uint8_t*>(r.workspace + each * omp_get_thread_num());
#pragma omp for schedule(static)
    for (int64_t i = 0; i < filters * r.batch; ++i)
      work.filter(i / filters, static_cast<int>(i % filters), memory);
  }
}

OPENWORK_INLINE int64_t depthwise_workspace(const BytePlan& plan, int threads) {
  return round_up(ByteDepthwise(plan, {}).floats(), 16) * threads;
}

}  // namespace openwork::OPENWORK_NAMESPACE
