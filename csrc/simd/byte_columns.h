// The columns of a convolution of bytes: a padded copy of its input, as `ByteLayout` has it, and
// what one tap of one channel reads for a tile of consecutive output pixels, counted through all
// images.
#pragma once
#include "../bytes.h"
#include "byte_vec.h"

namespace openwork::OPENWORK_NAMESPACE {

struct BytePlanes {
  const Geometry& g;
  const ByteLayout layout;

  BytePlanes(const Geometry& geometry, bool plain) : g(geometry), layout(geometry, plain) {}

  int64_t image() const { return layout.channel * g.in_channels; }
  // A tile may read a vector beyond its last pixel.
  int64_t floats(int batch) const { return layout.plain ? 0 : (image() * batch + pixels) / 4 + 1; }

  void fill(const uint8_t* map, uint8_t* to, int zero) const {
    set_bytes(to, static_cast<uint8_t>(zero), layout.channel);
    for (int y = 0; y < g.stride_y; ++y)
      for (int x = 0; x < g.stride_x; ++x)
        if (read(y, g.kernel_y, g.dilation_y, g.stride_y) &&
            read(x, g.kernel_x, g.dilation_x, g.stride_x))
          fill_phase(map, to + (int64_t{y} * g.stride_x + x) * layout.rows * layout.width, y, x);
  }

 private:
  static bool read(int phase, int taps, int dilation, int stride) {
    for (int k = 0; k < taps; ++k)
      if (k * dilation % stride == phase) return true;
    return false;
  }

  void fill_phase(const uint8_t* map, uint8_t* to, int phase_y, int phase_x) const {
    const Span rows(phase_y - g.pad_y, g.stride_y, g.height, layout.rows);
    const Span columns(phase_x - g.pad_x, g.stride_x, g.width, layout.width);
    map += int64_t{rows.at} * g.width + columns.at;
    to += int64_t{rows.first} * layout.width + columns.first;
    const int64_t pitch = int64_t{g.stride_y} * g.width;
    for (int y = 0; y < rows.count; ++y, map += pitch, to += layout.width)
      copy_every(to, map, columns.count, g.stride_x);
  }

  // Which numbers of a phase, along one side, lie within the map: those from `first` on, which is
  // number `at` of the map.
  struct Span {
    int first, count, at;

    Span(int shift, int stride, int size, int most) {
      first = shift < 0 ? ceil_div(-shift, stride) : 0;
      at = first * stride + shift;
      const int stop = size > shift ? ceil_div(size - shift, stride) : 0;
      count = larger(0, smaller(most, stop) - first);
    }
  };
};

// Pixels that lie side by side.
struct ByteSegment {
  int64_t from;  // in the planes, of channel 0 and tap 0
  int64_t to;    // in the output, of filter 0
  int64_t residual;
  int place, count;  // in the tile
};

// Consecutive pixels. Layers that are not plain count them along the rows of the planes, with the
// few between rows that no output has, so that what a tap reads lies side by side.
struct ByteTile {
  ByteSegment read[pixels], write[pixels];
  int reads = 0, writes = 0;
  int count;  // pixels

  // Pixels that tiles are made of: of all images together, or of each.
  static int64_t pixels_of(const BytePlanes& planes, int batch) {
    const Geometry& g = planes.g;
    if (planes.layout.plain) return static_cast<int64_t>(batch) * g.out_height * g.out_width;
    return static_cast<int64_t>(g.out_height - 1) * planes.layout.width + g.out_width;
  }

  ByteTile(const BytePlanes& planes, const ByteRun& run, int64_t image, int64_t begin, int64_t end)
      : count(static_cast<int>(end - begin)) {
    if (planes.layout.plain)
      plain(planes, run, begin, end);
    else
      flat(planes, run, image, begin, end);
  }

  // Brings together what a column of a plain layer reads, of several images.
  OPENWORK_INLINE_MEMBER void gather(const uint8_t* column, uint8_t* line) const {
    for (int i = 0; i < reads; ++i)
      copy_bytes(line + read[i].place, column + read[i].from, read[i].count);
  }

 private:
  void plain(const BytePlanes& planes, const ByteRun& run, int64_t begin, int64_t end) {
    const int64_t map = static_cast<int64_t>(planes.g.out_height) * planes.g.out_width;
    for (int64_t at = begin; at < end; ++writes, ++reads) {
      const int64_t image = at / map, pixel = at % map;
      const int some = static_cast<int>(map - pixel < end - at ? map - pixel : end - at);
      const int place = static_cast<int>(at - begin);
      read[reads] = {image * run.in_image + pixel, 0, 0, place, some};
      write[writes] = {0, image * run.out_image + pixel, image * run.residual_image + pixel, place,
                       some};
      at += some;
    }
  }

  void flat(const BytePlanes& planes, const ByteRun& run, int64_t image, int64_t begin,
            int64_t end) {
    read[reads++] = {image * planes.image() + begin, 0, 0, 0, count};
    // Rows with nothing in between are one.
    const bool one = planes.layout.width == planes.g.out_width;
    const int64_t width = one ? end : planes.g.out_width, pitch = one ? end : planes.layout.width;
    for (int64_t row = begin / pitch; row * pitch < end; ++row) {
      const int64_t start = row * pitch, stop = start + width;
      const int64_t first = start > begin ? start : begin, last = stop < end ? stop : end;
      if (first >= last) continue;
      const int64_t pixel = row * width + first - start;
      write[writes++] = {0, image * run.out_image + pixel, image * run.residual_image + pixel,
                         static_cast<int>(first - begin), static_cast<int>(last - first)};
    }
  }
};

}  // namespace openwork::OPENWORK_NAMESPACE
