// Filters that read one channel of bytes each: four neighbours of a row are multiplied at once.
//
// A vector of a row holds four neighbours in each number. They are the inputs of the output that
// begins at the first of them and, with weights moved on by one, of the next output too. So two
// vectors, one of them two pixels on, serve four neighbouring outputs, and nothing is shuffled
// before results are. With a stride of 2 each vector serves one output.
#pragma once
#include <omp.h>

#include "../bytes.h"
#include "byte_finish.h"
#include "byte_vec.h"

namespace openwork::OPENWORK_NAMESPACE {

// Results of four sums, in turns. All lanes hold four bytes of each sum.
template <int Stride>
OPENWORK_INLINE bytes in_turns(bytes a) {
  if constexpr (Stride == 1) {
    return shuffle_lanes<0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15>(a);
  } else {
    // The first two sums are those of the first half of the outputs.
    return first_halves(shuffle_lanes<0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15>(a));
  }
}

struct ByteDepthwise {
  // Maps that are padded together: what has just been stored is not read at once.
  static constexpr int64_t some_bytes = 8192;

  const BytePlan& plan;
  const ByteRun& run;
  const Geometry& g;
  const ByteFinish finish;
  int width, rows;    // of a padded map: rows with the same remainder by the stride lie together
  int pitch, length;  // all rows of outputs as one, with what lies between them
  int fours;          // that a row of weights, once more one pixel on, takes
  int64_t tap_bytes, map_bytes, result_bytes;
  int some;

  ByteDepthwise(const BytePlan& p, const ByteRun& r) : plan(p), run(r), g(p.geometry), finish(p) {
    width = static_cast<int>(round_up(g.width + 2 * g.pad_x, g.stride_x));
    rows = ceil_div(g.height + 2 * g.pad_y, g.stride_y);
    pitch = width / g.stride_x;
    length = (g.out_height - 1) * pitch + g.out_width;
    fours = g.kernel_x / 4 + 1;
    tap_bytes = round_up(int64_t{g.kernel_y} * sizeof(int64_t), 64);
    // Tiles read and write beyond their last pixel.
    map_bytes = round_up(int64_t{1} * rows * g.stride_y * width + 3 * pixels + 4 * fours, 64);
    result_bytes = round_up(length + pixels, 64);
    some = larger(1, static_cast<int>(some_bytes / map_bytes));
  }

  int64_t floats() const { return (tap_bytes + some * (map_bytes + result_bytes)) / 4; }

  // Where taps begin, and what surrounds maps: the same for all of them.
  void prepare(uint8_t* memory) const {
    int64_t* tap = reinterpret_cast<int64_t*>(memory);
    for (int ky = 0; ky < g.kernel_y; ++ky) {
      const int y = ky * g.dilation_y;
      tap[ky] = int64_t{y % g.stride_y * rows + y / g.stride_y} * width;
    }
    const bytes zero = bytes{} + static_cast<uint8_t>(plan.zero);
    for (int64_t i = 0; i < some * map_bytes; i += pixels)
      store_bytes(memory + tap_bytes + i, zero);
  }

  // Filters [first, last) of an image, `some` of them at most.
  void filters(int64_t image, int first, int last, uint8_t* memory) const {
    const int each = g.out_channels / g.in_channels;
    const int64_t out_map = int64_t{g.out_height} * g.out_width;
    const int64_t* tap = reinterpret_cast<const int64_t*>(memory);
    uint8_t* maps = memory + tap_bytes;
    uint8_t* results = maps + some * map_bytes;
    const uint8_t* input = run.input + image * run.in_image;
    uint8_t* output = static_cast<uint8_t*>(run.output) + image * run.out_image;
    for (int f = first; f < last; ++f)
      fill(input + int64_t{f / each} * g.height * g.width, maps + (f - first) * map_bytes);
    for (int f = first; f < last; ++f) {
      const uint8_t* map = maps + (f - first) * map_bytes;
      uint8_t* to = results + (f - first) * result_bytes;
      const bool usual = g.kernel_y == 3 && fours == 1;
      if (g.stride_x == 1)
        usual ? outputs<1, 3, 1>(f, tap, map, to) : outputs<1, 0, 0>(f, tap, map, to);
      else
        usual ? outputs<2, 3, 1>(f, tap, map, to) : outputs<2, 0, 0>(f, tap, map, to);
    }
    for (int f = first; f < last; ++f)
      copy_rows(output + f * out_map, g.out_width, results + (f - first) * result_bytes, pitch,
                g.out_height, g.out_width);
  }

 private:
  void fill(const uint8_t* map, uint8_t* to) const {
    for (int y = 0; y < smaller(g.stride_y, g.height); ++y) {
      const int row = y + g.pad_y;
      copy_rows(to + int64_t{row % g.stride_y * rows + row / g.stride_y} * width + g.pad_x, width,
                map + int64_t{y} * g.width, int64_t{g.stride_y} * g.width,
                ceil_div(g.height - y, g.stride_y), g.width);
    }
  }

  // One row of a kernel.
  template <int Stride, bool Narrow>
  OPENWORK_INLINE_MEMBER static void row(const uint8_t* line, const int8_t* w, int some_fours,
                                         ints (&sum)[4]) {
    const auto add = [](ints to, bytes x, ints by) {
      if constexpr (Narrow)
        return narrow_dot(to, x, by);
      else
        return dot(to, x, by);
    };
    for (int four = 0; four < some_fours; ++four, line += 4, w += 8) {
      const ints even = broadcast_quad(w), odd = broadcast_quad(w + 4);
      if constexpr (Stride == 1) {
        const bytes a = load_bytes(line), b = load_bytes(line + 2);
        sum[0] = add(sum[0], a, even), sum[1] = add(sum[1], a, odd);
        sum[2] = add(sum[2], b, even), sum[3] = add(sum[3], b, odd);
      } else {
        for (int s = 0; s < 4; ++s)
          sum[s] = add(sum[s], load_bytes(line + s / 2 * pixels + s % 2 * 2), even);
      }
    }
  }

  // `Rows` and `Fours` of the kernel; 0 for any.
  template <int Stride, int Rows, int Fours>
  void outputs(int filter, const int64_t* tap, const uint8_t* from, uint8_t* to) const {
    const int kernel_y = Rows ? Rows : g.kernel_y, some_fours = Fours ? Fours : fours;
    const int8_t* weight = plan.weight + int64_t{filter} * g.kernel_y * fours * 8;
    const ByteFinish own = finish;
    const ints offset = ints{} + plan.offset[filter];
    const int count = length, narrow = narrow_sums ? plan.narrow[filter] : 0;
    for (int x = 0; x < count; x += pixels, from += Stride * pixels) {
      ints sum[4] = {offset, offset, offset, offset};
      const int8_t* w = weight;
      for (int ky = 0; ky < kernel_y; ++ky) {
        const uint8_t* line = from + tap[ky];
        if (narrow_sums && ky < 31 && narrow >> ky & 1)
          row<Stride, true>(line, w, some_fours, sum);
        else
          row<Stride, false>(line, w, some_fours, sum);
        w += 8 * some_fours;
      }
      const shorts low = own.halves(own.scaled(sum[0], filter), own.scaled(sum[1], filter));
      const shorts high = own.halves(own.scaled(sum[2], filter), own.scaled(sum[3], filter));
      store_bytes(to + x, in_turns<Stride>(own.joined(low, high)));
    }
  }
};

OPENWORK_INLINE void run_depthwise(const BytePlan& plan, const ByteRun& r) {
  const ByteDepthwise work(plan, r);
  const int filters = plan.geometry.out_channels;
  const int64_t parts = ceil_div(filters, work.some), each = round_up(work.floats(), 16);
#pragma omp parallel num_threads(r.threads)
  {
    uint8_t* memory = reinterpret_cast<uint8_t*>(r.workspace + each * omp_get_thread_num());
    work.prepare(memory);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < parts * r.batch; ++i) {
      const int first = static_cast<int>(i % parts) * work.some;
      work.filters(i / parts, first, smaller(filters, first + work.some), memory);
    }
  }
}

OPENWORK_INLINE int64_t depthwise_workspace(const BytePlan& plan, int threads) {
  return round_up(ByteDepthwise(plan, {}).floats(), 16) * threads;
}

}  // namespace openwork::OPENWORK_NAMESPACE
