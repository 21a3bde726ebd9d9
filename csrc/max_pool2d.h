// Max pooling in training, which remembers the tap that each output came from.
#pragma once
#include <cstdint>

#include "map_type.h"
#include "pool.h"

namespace openwork {

// A window has at most so many taps: they are numbered row by row in bytes.
constexpr int most_pool_taps = 255;

struct MaxPool2d {
  // `tap`: [batch, channels, out_height, out_width], as the output.
  void (*forward)(const Pool&, MapType type, const void* input, void* output, uint8_t* tap,
                  int batch, int threads);
  // False if a tap lies outside the input; such gradients are left out.
  bool (*backward)(const Pool&, MapType type, const void* gradient, const uint8_t* tap,
                   void* grad_input, int batch, int threads);
};

}  // namespace openwork
