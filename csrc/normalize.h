// Numbers less their mean and over their deviation, along one of three axes; what is summed along
// one; rows times a vector.
#pragma once
#include <cstdint>

#include "problem.h"

namespace openwork {

// (x - mean) / sqrt(variance + eps) * weight + bias, then the activation, along the middle axis of
// [outer, size, inner].
struct Normalize {
  int64_t outer, size, inner;  // of one image
  // Number k of row o has the weight (o * size + k) / repeat % weights. Columns (inner > 1) have
  // one for each number: `repeat` is 1.
  int64_t repeat, weights;
  const float* weight;  // null: ones
  const float* bias;    // null: zeros
  float eps;
  Activation activation;
};

// Everything that an axis is reduced to: R(name). The variance is the mean square of differences
// from the mean; the norm is the root of the sum of squares.
#define OPENWORK_REDUCTIONS(R) R(mean) R(variance) R(norm) R(sum)

#define OPENWORK_NAME(name) name,
enum class Reduction : int { OPENWORK_REDUCTIONS(OPENWORK_NAME) };
#undef OPENWORK_NAME

struct Normalizing {
  // The input may be the output. `workspace`: as many floats as the function below says.
  void (*normalize)(const Normalize&, const float* input, float* output, int batch,
                    float* workspace, int threads);
  int64_t (*workspace)(const Normalize&, int batch);
  // Along the middle one of three axes.
  void (*reduce)(Reduction, const float* input, float* output, int64_t outer, int64_t size,
                 int64_t inner, int threads);
  // Each of an image's `rows` times the image's factors, summed.
  void (*dot)(const float* input, const float* factors, float* output, int batch, int64_t rows,
              int64_t size, int threads);
};

}  // namespace openwork
