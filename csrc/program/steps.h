// The steps that a program is made of; each checks its slots against what it computes.
#pragma once
#include <memory>
#include <vector>

#include "../layer.h"
#include "program.h"

namespace openwork {

// All throw std::invalid_argument for slots that do not fit.
std::unique_ptr<Step> layer_step(std::shared_ptr<const Layer> layer, const Slot& input,
                                 const Slot& output, const Slot* residual);
// `shift` has one entry for each channel, or none; it replaces `pool.shift`.
std::unique_ptr<Step> pool_step(const Pooling& kernels, const Pool& pool, std::vector<float> shift,
                                const Slot& input, const Slot& output);
std::unique_ptr<Step> mean_step(const Pooling& kernels, const Slot& input, const Slot& output);
// `b` may be null: the activation alone.
std::unique_ptr<Step> add_step(const Elementwise& kernels, const Slot& a, const Slot* b,
                               const Slot& output, Activation activation);
std::unique_ptr<Step> affine_step(const Elementwise& kernels, std::vector<float> scale,
                                  std::vector<float> shift, Activation activation,
                                  const Slot& input, const Slot& output);
std::unique_ptr<Step> gate_step(const Elementwise& kernels, const Slot& input, const Slot& gates,
                                const Slot& output);
std::unique_ptr<Step> copy_step(const Slot& source, const Slot& target);
// Fills the slot with zeros.
std::unique_ptr<Step> clear_step(const Slot& target);

}  // namespace openwork
