// Batch normalisation in training, with the residual sum and the activation that follow it.
#pragma once
#include <cstdint>

namespace openwork {

// Sizes of one call; all maps are [batch, channels, pixels] float32, contiguous.
struct NormSizes {
  int batch, channels;
  int64_t pixels;

  int64_t image() const { return channels * pixels; }  // floats
};

// What follows the sum: nothing, max(x, 0), or min(max(x, 0), 6).
enum class NormAct { none, relu, relu6 };

// output = act((input - mean) / sqrt(variance + eps) * weight + bias + residual).
struct NormForward {
  NormSizes sizes;
  NormAct act;
  double eps;
  const float* input;
  const float* residual;  // or null
  const float* weight;    // [channels], or null for ones
  const float* bias;      // [channels], or null for zeros
  float* output;
  // [channels] each: of the batch; the last one divided by one less than the values.
  float* mean;
  float* rstd;
  float* unbiased;
};

struct NormBackward {
  NormSizes sizes;
  NormAct act;
  const float* gradient;  // of the output
  const float* input;
  const float* weight;
  const float* bias;
  const float* mean;
  const float* rstd;
  const float* output;  // null without a residual: whether the activation let it through is
                        // computed again from the input
  // Each of them null if it is not wanted; the residual's is wanted only with an activation,
  // else it is the output's.
  float* grad_input;
  float* grad_residual;
  float* grad_weight;
  float* grad_bias;
};

struct BatchNorm {
  void (*forward)(const NormForward&, int threads);
  void (*backward)(const NormBackward&, int threads);
};

}  // namespace openwork
