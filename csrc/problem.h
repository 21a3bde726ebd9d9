// What every kernel is asked to do: the convolution's geometry, what follows it, and one call's
// data.
#pragma once
#include <cstdint>

namespace openwork {

// Largest height, width and number of channels of a map: the product of three does not overflow
// int64.
constexpr int most_size = 1 << 20;
// Largest side, stride, padding and dilation of a kernel.
constexpr int most_reach = 1 << 10;

struct Geometry {
  int in_channels, out_channels;
  int height, width;
  int kernel_y, kernel_x;
  int stride_y, stride_x;
  int pad_y, pad_x;
  int dilation_y, dilation_x;
  int out_height, out_width;
};

// Whether each output pixel reads only the input pixel at the same place.
inline bool is_plain(const Geometry& g) {
  return g.kernel_y == 1 && g.kernel_x == 1 && g.stride_y == 1 && g.stride_x == 1 && g.pad_y == 0 &&
         g.pad_x == 0;
}

// Floats of one image.
inline int64_t image_in(const Geometry& g) {
  return static_cast<int64_t>(g.in_channels) * g.height * g.width;
}
inline int64_t image_out(const Geometry& g) {
  return static_cast<int64_t>(g.out_channels) * g.out_height * g.out_width;
}

// Every activation: A(name).
#define OPENWORK_ACTIVATIONS(A) \
  A(none) A(relu) A(relu6) A(silu) A(hardswish) A(sigmoid) A(hardsigmoid)

#define OPENWORK_NAME(name) name,
enum class Activation : int { OPENWORK_ACTIVATIONS(OPENWORK_NAME) };
#undef OPENWORK_NAME

// Applied to each finished output: bias, then residual, then activation.
struct Epilogue {
  const float* bias = nullptr;  // (out_channels,), owned by the plan's holder; null for none
  Activation activation = Activation::none;
};

// All tensors are NCHW float32, each image contiguous; `residual` is null or laid out like the
// output.
struct Run {
  const float* input;
  const float* residual;
  float* output;
  int64_t in_image, out_image;  // floats from image to image
  float* workspace;             // as many floats as the kernel's workspace function says
  int batch;
  int threads;
};

}  // namespace openwork
