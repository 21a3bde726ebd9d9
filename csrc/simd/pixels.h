// A tile of consecutive output pixels of a 1x1 convolution, counted through all images.
#pragma once
#include "../problem.h"
#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

// Pixels that lie evenly spaced in the input's memory and side by side in the output's.
struct PixelRun {
  int64_t input;   // first pixel in channel 0
  int64_t output;  // likewise
  int first;       // place in the tile
  int count;
};

struct PixelTile {
  PixelRun run[16 * lanes];
  int runs = 0;
  int step;  // input floats from pixel to pixel

  PixelTile(const Geometry& geometry, int64_t begin, int64_t end) : step(geometry.stride_x) {
    const int64_t in_map = static_cast<int64_t>(geometry.height) * geometry.width;
    const int64_t out_map = static_cast<int64_t>(geometry.out_height) * geometry.out_width;
    const bool dense = geometry.stride_y == 1 && geometry.stride_x == 1;
    for (int64_t at = begin; at < end;) {
      const int64_t image = at / out_map;
      const int64_t pixel = at % out_map;
      const int64_t y = pixel / geometry.out_width;
      const int64_t x = pixel % geometry.out_width;
      int64_t count = dense ? out_map - pixel : geometry.out_width - x;
      if (count > end - at) count = end - at;
      run[runs].input = image * geometry.in_channels * in_map +
                        y * geometry.stride_y * geometry.width + x * geometry.stride_x;
      run[runs].output = image * geometry.out_channels * out_map + pixel;
      run[runs].first = static_cast<int>(at - begin);
      run[runs].count = static_cast<int>(count);
      ++runs;
      at += count;
    }
  }

  // Channels [first, last) of the tile to `packed`, `size` floats each; the rest of a row is zero.
  void pack(const float* input, int64_t in_map, int first, int last, int size,
            float* packed) const {
    for (int channel = first; channel < last; ++channel, packed += size) {
      const float* from = input + channel * in_map;
      for (int r = 0; r < runs; ++r) copy(from + run[r].input, run[r].count, packed + run[r].first);
      const int used = run[runs - 1].first + run[runs - 1].count;
      for (int i = used; i < size; ++i) packed[i] = 0.f;
    }
  }

 private:
  OPENWORK_INLINE_MEMBER void copy(const float* from, int count, float* to) const {
    if (step != 1) {
      for (int i = 0; i < count; ++i) to[i] = from[static_cast<int64_t>(i) * step];
      return;
    }
    for (int i = 0; i < count; i += lanes) {
      const int some = smaller(lanes, count - i);
      store_lanes(to + i, load_lanes(from + i, 0, some), some);
    }
  }
};

}  // namespace openwork::OPENWORK_NAMESPACE
