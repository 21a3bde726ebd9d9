// Pooling of maps: maxima and averages over windows, and means over whole maps.
#pragma once
#include <cstdint>

#include "problem.h"

namespace openwork {

struct Pool {
  int channels, height, width;
  int kernel_y, kernel_x;
  int stride_y, stride_x;
  int pad_y, pad_x;
  int out_height, out_width;
  bool average;                              // else the maximum
  bool count_padding;                        // averages divide by the window, padding included
  Activation activation = Activation::none;  // applied last
  const float* shift = nullptr;              // [channels], added to each output, or null
};

struct Pooling {
  void (*pool)(const Pool&, const float* input, float* output, int batch, int threads);
  // Mean over the `pixels` of each of `maps` maps.
  void (*mean)(const float* input, float* output, int64_t maps, int64_t pixels, int threads);
};

}  // namespace openwork
