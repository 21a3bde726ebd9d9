// Copies whose axes lie at other distances: slices with steps, transposes, padding.
#pragma once
#include <cstdint>

namespace openwork {

// Axes of one move, the batch included.
constexpr int most_axes = 8;

// Places of one tensor along each axis of a move, in floats.
struct Move {
  int axes;
  int64_t size[most_axes];
  int64_t from[most_axes];  // may be zero or negative
  int64_t to[most_axes];    // each larger than what lies within it
};

struct Moving {
  void (*move)(const Move&, const float* input, float* output, int threads);
  void (*fill)(float* output, int64_t count, float value);
};

}  // namespace openwork
