// The padded copy of one image that the direct kernels read: borders are zeros in memory.
//
// Each channel is split into stride_y x stride_x planes of every stride-th row and column, so that
// neighbouring outputs always read neighbouring floats. A channel's planes lie one after another,
// sorted by (y phase, x phase).
#pragma once
#include <omp.h>

#include "../planes_layout.h"
#include "shuffle.h"
#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

OPENWORK_INLINE void pad_row(const Geometry& g, const PlanesLayout& layout, const float* from,
                             int phase_x, float* to, bool borders) {
  // Maps begin pages apart, where the processor's own prefetching ends.
  const int64_t next = static_cast<int64_t>(g.height) * g.width;
  // Plane column c is input column c * stride_x + phase_x - pad_x.
  const int shift = phase_x - g.pad_x;
  const int first = shift >= 0 ? 0 : smaller(ceil_div(-shift, g.stride_x), layout.columns);
  const int stop = smaller(larger(ceil_div(g.width - shift, g.stride_x), first), layout.columns);
  for (int c = 0; c < first && borders; ++c) to[c] = 0.f;
  from += shift;
  if (g.stride_x == 1)
    for (int c = first; c < stop; c += lanes) {
      const int count = smaller(lanes, stop - c);
      __builtin_prefetch(from + c + next);
      store_lanes(to + c, load_lanes(from + c, 0, count), count);
    }
  else if (g.stride_x == 2)
    for (int c = first; c < stop; c += lanes) {
      const int count = smaller(lanes, stop - c);
      // Nothing is read beyond the last wanted float, which may be the last of the input.
      const int low = smaller(lanes, 2 * count - 1), high = 2 * count - 1 - low;
      vec pair[2] = {load_lanes(from + 2 * c, 0, low), vec{}};
      if (high > 0) pair[1] = load_lanes(from + 2 * c + lanes, 0, high);
      split<2>(pair);
      store_lanes(to + c, pair[0], count);
    }
  else
    for (int c = first; c < stop; ++c) to[c] = from[c * g.stride_x];
  for (int c = stop; c < layout.columns && borders; ++c) to[c] = 0.f;
}

// Without `borders` only what lies inside them is written: they are zero since the last image. At
// 32x32 they took as long as the rest.
OPENWORK_INLINE void pad_channel(const Geometry& g, const PlanesLayout& layout, const float* from,
                                 float* to, bool borders) {
  for (int phase_y = 0; phase_y < g.stride_y; ++phase_y)
    for (int phase_x = 0; phase_x < g.stride_x; ++phase_x)
      for (int r = 0; r < layout.rows; ++r, to += layout.columns) {
        const int y = r * g.stride_y + phase_y - g.pad_y;
        if (y >= 0 && y < g.height)
          pad_row(g, layout, from + static_cast<int64_t>(y) * g.width, phase_x, to, borders);
        else if (borders)
          for (int c = 0; c < layout.columns; ++c) to[c] = 0.f;
      }
}

// Filters that are handed over together.
constexpr int filters_at_once = 4;

// Whether each thread takes whole images, with its own padded copy: then none waits for
// another. Fewer images are worked on together, one after the other.
OPENWORK_INLINE bool takes_images(const Run& run) { return run.batch >= 2 * run.threads; }

// Pads each image into `floats` floats of the workspace and calls `body(planes, image, tile_y,
// first, last)` for all rows of tiles and filters [first, last) of them. All filters pass over one
// row of tiles before the next: its inputs stay in cache.
template <class Body>
void over_tiles(const Geometry& g, const PlanesLayout& layout, const Run& run, int64_t floats,
                int down, const Body& body) {
  const int64_t in_map = static_cast<int64_t>(g.height) * g.width;
  const auto pad = [&](int image, int channel, float* planes, bool borders) {
    pad_channel(g, layout, run.input + image * run.in_image + channel * in_map,
                planes + channel * layout.channel, borders);
  };
  if (takes_images(run)) {
#pragma omp parallel num_threads(run.threads) if (run.threads > 1)
    {
      float* planes = run.workspace + omp_get_thread_num() * floats;
      bool borders = true;
#pragma omp for schedule(dynamic, 1)
      for (int image = 0; image < run.batch; ++image) {
        for (int channel = 0; channel < g.in_channels; ++channel)
          pad(image, channel, planes, borders);
        borders = false;
        for (int tile_y = 0; tile_y < down; ++tile_y)
          body(planes, image, tile_y, 0, g.out_channels);
      }
    }
    return;
  }
#pragma omp parallel num_threads(run.threads) if (run.threads > 1)
  for (int image = 0; image < run.batch; ++image) {
#pragma omp for schedule(static)
    for (int channel = 0; channel < g.in_channels; ++channel)
      pad(image, channel, run.workspace, image == 0);
#pragma omp for schedule(dynamic, 1) collapse(2)
    for (int tile_y = 0; tile_y < down; ++tile_y)
      for (int first = 0; first < g.out_channels; first += filters_at_once)
        body(run.workspace, image, tile_y, first, smaller(first + filters_at_once, g.out_channels));
  }
}

// Of one padded copy. Tiles that reach over the map's edge read beyond the last channel, by less
// than one tile.
OPENWORK_INLINE int64_t padded_floats(const Geometry& g, int rows, int vectors) {
  const PlanesLayout layout(g);
  return round_up(
      layout.image + static_cast<int64_t>(rows) * layout.columns + (vectors + 1) * lanes, 16);
}

// Of all copies. It grows with both numbers, so that smaller calls fit.
OPENWORK_INLINE int64_t padded_floats(const Geometry& g, int rows, int vectors, int batch,
                                      int threads) {
  return padded_floats(g, rows, vectors) * larger(1, smaller(batch, threads));
}

}  // namespace openwork::OPENWORK_NAMESPACE
