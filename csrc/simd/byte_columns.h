// The columns of a convolution of bytes: a padded copy of its input in phases, and what one tap of
// one channel reads for a tile of consecutive output pixels, counted through all images.
#pragma once
#include "../bytes.h"
#include "byte_vec.h"

namespace openwork::OPENWORK_NAMESPACE {

// Rows and columns of the padded input that have the same remainder by the strides lie side by
// side, so that neighbouring outputs read neighbouring bytes. Plain layers read the input itself.
struct BytePlanes {
  const Geometry& g;
  bool plain;
  int rows, width;  // of one phase
  int64_t channel;  // bytes

  BytePlanes(const Geometry& geometry, bool plain) : g(geometry), plain(plain) {
    rows = g.out_height + (g.kernel_y - 1) * g.dilation_y / g.stride_y;
    width = g.out_width + (g.kernel_x - 1) * g.dilation_x / g.stride_x;
    channel = plain ? static_cast<int64_t>(g.height) * g.width
                    : static_cast<int64_t>(rows) * width * g.stride_y * g.stride_x;
  }

  int64_t image() const { return channel * g.in_channels; }
  // A tile may read a vector beyond its last pixel.
  int64_t floats(int batch) const { return plain ? 0 : (image() * batch + pixels) / 4 + 1; }

  int64_t tap(int number) const {
    if (plain) return 0;
    const int y = number / g.kernel_x * g.dilation_y, x = number % g.kernel_x * g.dilation_x;
    const int64_t phase = static_cast<int64_t>(y % g.stride_y) * g.stride_x + x % g.stride_x;
    return (phase * rows + y / g.stride_y) * width + x / g.stride_x;
  }

  void fill(const uint8_t* map, uint8_t* to, int zero) const {
    for (int y = 0; y < g.stride_y; ++y)
      for (int x = 0; x < g.stride_x; ++x)
        if (read(y, g.kernel_y, g.dilation_y, g.stride_y) &&
            read(x, g.kernel_x, g.dilation_x, g.stride_x))
          fill_phase(map, to + (static_cast<int64_t>(y) * g.stride_x + x) * rows * width, y, x,
                     zero);
  }

 private:
  static bool read(int phase, int taps, int dilation, int stride) {
    for (int k = 0; k < taps; ++k)
      if (k * dilation % stride == phase) return true;
    return false;
  }

  void fill_phase(const uint8_t* map, uint8_t* to, int phase_y, int phase_x, int zero) const {
    const int shift = phase_x - g.pad_x;
    const int first = shift >= 0 ? 0 : smaller(width, ceil_div(-shift, g.stride_x));
    const int stop =
        larger(first, smaller(width, g.width > shift ? ceil_div(g.width - shift, g.stride_x) : 0));
    for (int row = 0; row < rows; ++row, to += width) {
      const int y = row * g.stride_y + phase_y - g.pad_y;
      const bool inside = y >= 0 && y < g.height;
      const int from = inside ? first : width, end = inside ? stop : width;
      for (int i = 0; i < from; ++i) to[i] = static_cast<uint8_t>(zero);
      for (int i = end; i < width; ++i) to[i] = static_cast<uint8_t>(zero);
      if (from >= end) continue;
      const uint8_t* line =
          map + static_cast<int64_t>(y) * g.width + static_cast<int64_t>(from) * g.stride_x + shift;
      if (g.stride_x == 1)
        copy_bytes(to + from, line, end - from);
      else if (g.stride_x == 2)
        for (int i = 0; i < end - from; ++i) to[from + i] = line[2 * i];
      else
        for (int i = 0; i < end - from; ++i)
          to[from + i] = line[static_cast<int64_t>(i) * g.stride_x];
    }
  }
};

// Pixels that lie side by side.
struct ByteSegment {
  int64_t from;  // in the planes, of channel 0 and tap 0
  int64_t to;    // in the output, of filter 0
  int64_t residual;
  int place, count;  // in the tile
};

struct ByteTile {
  ByteSegment read[pixels], write[pixels];
  int reads = 0, writes = 0;
  int count;  // pixels

  ByteTile(const BytePlanes& planes, const ByteRun& run, int64_t begin, int64_t end)
      : count(static_cast<int>(end - begin)) {
    const Geometry& g = planes.g;
    const int64_t map = static_cast<int64_t>(g.out_height) * g.out_width;
    const int64_t image_in = planes.plain ? run.in_image : planes.image();
    const int64_t line = planes.plain ? map : g.out_width;
    for (int64_t at = begin; at < end; ++writes) {
      const int64_t image = at / map, pixel = at % map;
      const int some = least(map - pixel, end - at);
      write[writes] = {0, image * run.out_image + pixel, image * run.residual_image + pixel,
                       static_cast<int>(at - begin), some};
      at += some;
    }
    for (int64_t at = begin; at < end; ++reads) {
      const int64_t image = at / map, pixel = at % map;
      const int some = least(line - pixel % line, end - at);
      const int64_t from = planes.plain ? pixel : pixel / line * planes.width + pixel % line;
      read[reads] = {image * image_in + from, 0, 0, static_cast<int>(at - begin), some};
      at += some;
    }
  }

  // Brings together what a column reads.
  template <int V>
  OPENWORK_INLINE_MEMBER void gather(const uint8_t* column, bool exact, uint8_t* line) const {
    if (exact) {
      for (int i = 0; i < reads; ++i)
        copy_bytes(line + read[i].place, column + read[i].from, read[i].count);
    } else {
      // What is written too far is overwritten by what follows.
      for (int i = 0; i < reads; ++i)
        store_bytes(line + read[i].place, load_bytes(column + read[i].from));
    }
    if constexpr (V < 4) store_bytes(line, spread<V>(load_bytes(line)));
  }

 private:
  static int least(int64_t a, int64_t b) { return static_cast<int>(a < b ? a : b); }
};

}  // namespace openwork::OPENWORK_NAMESPACE
