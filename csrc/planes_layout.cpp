#include "planes_layout.h"

namespace openwork {

PlanesLayout::PlanesLayout(const Geometry& g) {
  rows = g.out_height + (g.kernel_y - 1) * g.dilation_y / g.stride_y;
  columns = g.out_width + (g.kernel_x - 1) * g.dilation_x / g.stride_x;
  // Rows that start on a cache line make the unshifted loads cheap; not worth much memory.
  const int aligned = (columns + 15) / 16 * 16;
  if (aligned * 8 <= columns * 9) columns = aligned;
  plane = static_cast<int64_t>(rows) * columns;
  channel = plane * g.stride_y * g.stride_x;
  image = channel * g.in_channels;
}

int64_t PlanesLayout::tap(const Geometry& g, int ky, int kx) const {
  const int y = ky * g.dilation_y, x = kx * g.dilation_x;
  const int phase = y % g.stride_y * g.stride_x + x % g.stride_x;
  return phase * plane + static_cast<int64_t>(y / g.stride_y) * columns + x / g.stride_x;
}

}  // namespace openwork
