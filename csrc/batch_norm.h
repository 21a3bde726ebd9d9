// Batch normalisation in training, with the residual sum and the ReLU that follow it.
#pragma once
#include <cstdint>

namespace openwork {

// Sizes of one call; all maps are [batch, channels, pixels] float32, contiguous.
struct NormSizes {
  int batch, channels;
  int64_t pixels;

  int64_t image() const { return channels * pixels; }  // floats
};

// output = relu((input - mean) / sqrt(variance + eps) * weight + bias + residual).
struct NormForward {
  NormSizes sizes;
  bool relu;
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
  bool relu;
  const float* gradient;  // of the output
  const float* input;
  const float* weight;
  const float* bias;
  const float* mean;
  const float* rstd;
  const float* output;  // null without a residual: its signs are computed again from the input
  // Each of them null if it is not wanted; the residual's is wanted only with a ReLU, else it is
  // the output's.
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
