// Max pooling in training, which remembers the tap that each output came from.
#pragma once
#include <cstdint>

#include "pool.h"

namespace openwork {

// A window has at most so many taps: they are numbered row by row in bytes.
constexpr int most_pool_taps = 255;

struct MaxPool2d {
  // `tap`: [batch, channels, out_height, out_width], as the output.
  void (*forward)(const Pool&, const float* input, float* output, uint8_t* tap, int batch,
                  int threads);
  // False if a tap lies outside the input; such gradients are left out.
  bool (*backward)(const Pool&, const float* gradient, const uint8_t* tap, float* grad_input,
                   int batch, int threads);
};

}  // namespace openwork
