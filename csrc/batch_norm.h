// Batch normalisation in training, with the residual sum and the activation that follow it.
#pragma once
#include <cstdint>

#include "map_type.h"

namespace openwork {

// Sizes of one call; all maps are [batch, channels, pixels], contiguous and of one type.
struct NormSizes {
  int batch, channels;
  int64_t pixels;

  int64_t image() const { return channels * pixels; }  // numbers
};

// What follows the sum: nothing, max(x, 0), or min(max(x, 0), 6).
enum class NormAct { none, relu, relu6 };

// output = act((input - mean) / sqrt(variance + eps) * weight + bias + residual).
struct NormForward {
  NormSizes sizes;
  MapType type;
  NormAct act;
  double eps;
  const void* input;
  const void* residual;  // or null
  const float* weight;   // [channels], or null for ones
  const float* bias;     // [channels], or null for zeros
  void* output;
  // [channels] each: of the batch; the last one divided by one less than the values.
  float* mean;
  float* rstd;
  float* unbiased;
};

struct NormBackward {
  NormSizes sizes;
  MapType type;
  NormAct act;
  const void* gradient;  // of the output
  const void* input;
  const float* weight;
  const float* bias;
  const float* mean;
  const float* rstd;
  const void* output;  // null without a residual: whether the activation let it through is
                       // computed again from the input
  // Each of them null if it is not wanted; the residual's is wanted only with an activation,
  // else it is the output's.
  void* grad_input;
  void* grad_residual;
  float* grad_weight;
  float* grad_bias;
};

struct BatchNorm {
  void (*forward)(const NormForward&, int threads);
  void (*backward)(const NormBackward&, int threads);
};

}  // namespace openwork
