// Everything of a network that is not a convolution: plain passes over maps.
#pragma once
#include <cstdint>

#include "problem.h"

namespace openwork {

struct Pool {
  int channels, height, width;
  int kernel_y, kernel_x, stride_y, stride_x, pad_y, pad_x;
  int out_height, out_width;
  bool average;           // else the maximum
  bool count_padding;     // averages divide by the whole window, not by the pixels inside
  const float* shift;     // [channels], added to each output, or null
  Activation activation;  // applied last
};

// Affine maps: output = input * scale[channel] + shift[channel], then the activation.
struct Affine {
  const float* scale;
  const float* shift;
  Activation activation;
};

struct Maps {
  void (*pool)(const Pool&, const float* input, float* output, int batch, int threads);
  // Mean over the `pixels` of each of `maps` maps.
  void (*mean)(const float* input, float* output, int64_t maps, int64_t pixels, int threads);
  // Activation of the sum; `b` may be null.
  void (*add)(const float* a, const float* b, float* output, int64_t count, Activation activation,
              int threads);
  void (*affine)(const Affine&, const float* input, float* output, int batch, int channels,
                 int64_t pixels, int threads);
  // Each map times its own gate.
  void (*gate)(const float* input, const float* gates, float* output, int64_t maps, int64_t pixels,
               int threads);
};

}  // namespace openwork
