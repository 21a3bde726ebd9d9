// What follows the sums of a layer of bytes: float32 arithmetic in the order that bytes.h states.
#pragma once
#include <cmath>

#include "../bytes.h"
#include "byte_vec.h"

namespace openwork::OPENWORK_NAMESPACE {

// Of a whole layer. The lower bound is applied to bytes: what lies far below it becomes 0 first.
struct ByteFinish {
  const float* scale;
  const float* bias;
  reals most;
  shorts zero;
  bytes least;
  reals residual_zero, residual_scale;

  explicit ByteFinish(const BytePlan& p) : scale(p.scale), bias(p.bias) {
    most = reals{} + p.most;
    zero = shorts{} + static_cast<int16_t>(p.out_zero);
    const float lowest =
        p.to_float ? 0.f : std::nearbyint(p.least) + static_cast<float>(p.out_zero);
    const uint8_t lowest_byte = static_cast<uint8_t>(lowest);
    least = bytes{} + lowest_byte;
    residual_zero = reals{} + static_cast<float>(float_of_byte + p.residual_zero);
    residual_scale = reals{} + p.residual_scale;
  }

  // Of a sum that began with the filter's offset.
  OPENWORK_INLINE_MEMBER reals scaled(ints sum, int filter) const {
    return to_floats(sum) * scale[filter] + bias[filter];
  }

  // `four`: of a vector of `widened`.
  OPENWORK_INLINE_MEMBER reals with_residual(reals value, bytes four) const {
    return value + ((reals)four - residual_zero) * residual_scale;
  }

  OPENWORK_INLINE_MEMBER shorts halves(reals a, reals b) const {
    return add_saturating(pack_ints(nearest(at_most(a, most)), nearest(at_most(b, most))), zero);
  }

  OPENWORK_INLINE_MEMBER bytes joined(shorts a, shorts b) const {
    return greater(pack_shorts(a, b), least);
  }
};

}  // namespace openwork::OPENWORK_NAMESPACE
