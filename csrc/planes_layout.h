// Sizes of the padded, phase-split copy of one image; tap offsets are computed from them.
#pragma once
#include "problem.h"

namespace openwork {

struct PlanesLayout {
  int rows, columns;  // of one plane
  int64_t plane;      // floats of one plane
  int64_t channel;    // floats of one channel: all its planes
  int64_t image;      // floats of all channels

  explicit PlanesLayout(const Geometry& geometry);

  // Where tap (ky, kx) of output (0, 0) lies within its channel.
  int64_t tap(const Geometry& geometry, int ky, int kx) const;
};

}  // namespace openwork
