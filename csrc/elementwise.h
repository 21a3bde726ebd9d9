// Passes that treat each pixel alone: sums, scales and gates, each with its activation.
#pragma once
#include <cstdint>

#include "problem.h"

namespace openwork {

// output = activation(input * scale[channel] + shift[channel]).
struct Affine {
  const float* scale;
  const float* shift;
  Activation activation;
};

struct Elementwise {
  // Activation of the sum; `b` may be null.
  void (*add)(const float* a, const float* b, float* output, int64_t count, Activation activation,
              int threads);
  void (*affine)(const Affine&, const float* input, float* output, int batch, int channels,
                 int64_t pixels, int threads);
  // Multiplies each map by its gate.
  void (*gate)(const float* input, const float* gates, float* output, int64_t maps, int64_t pixels,
               int threads);
};

}  // namespace openwork
