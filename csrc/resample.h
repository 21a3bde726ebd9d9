// Maps of another size, each output row a weighted sum of input rows, and each column of columns.
#pragma once
#include <cstdint>

namespace openwork {

// One axis: output i is the sum over taps t of weight[t * size + i] * input[place[t * size + i]].
struct ResampleAxis {
  int size, taps;
  const int32_t* place;
  const float* weight;  // null: one tap of weight 1
};

struct Resample {
  int height, width;
  ResampleAxis rows, columns;
};

struct Resampling {
  // `workspace`: as many floats as the function below says.
  void (*resample)(const Resample&, const float* input, float* output, int64_t maps,
                   float* workspace, int threads);
  int64_t (*workspace)(const Resample&, int threads);
};

}  // namespace openwork
