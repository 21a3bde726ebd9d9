// The steps of networks of bytes; each checks its slots against what it computes.
#pragma once
#include <memory>
#include <tuple>

#include "../bytes.h"
#include "program.h"

namespace openwork {

struct Packing;

// (zero, least, most) of what is written.
using ByteRange = std::tuple<int, int, int>;

// A packed convolution of bytes, its kernel, and the arrays that the plan points into.
struct ByteLayer {
  BytePlan plan;
  const ByteKernels* kernels;  // null for those of another machine
  std::shared_ptr<const void> arrays;
  std::shared_ptr<const Packing> packing;  // what it was made of
};

// All throw std::invalid_argument for slots and numbers that do not fit.
std::unique_ptr<Step> byte_layer_step(std::shared_ptr<const ByteLayer> layer, const Slot& input,
                                      const Slot& output, const Slot* residual);
std::unique_ptr<Step> quantize_step(const ByteKernels& kernels, const Slot& input,
                                    const Slot& output, float inverse, const ByteRange& range);
std::unique_ptr<Step> dequantize_step(const ByteKernels& kernels, const Slot& input,
                                      const Slot& output, ByteMap map);
std::unique_ptr<Step> byte_pool_step(const ByteKernels& kernels, const Pool& pool,
                                     const Slot& input, const Slot& output);
std::unique_ptr<Step> byte_mean_step(const ByteKernels& kernels, const Slot& input,
                                     const Slot& output, int64_t maps, int64_t pixels,
                                     int from_zero, float scale, const ByteRange& range);
std::unique_ptr<Step> byte_add_step(const ByteKernels& kernels, const Slot& a, const Slot& b,
                                    const Slot& output, ByteMap from_a, ByteMap from_b,
                                    const ByteRange& range);

}  // namespace openwork
