// The steps that a program is made of; every one checks its slots against what it computes.
#pragma once
#include <memory>
#include <vector>

#include "../bind/layer.h"
#include "../maps.h"
#include "program.h"

namespace openwork {

std::unique_ptr<Step> layer_step(nb::object owner, const Layer& layer, const Slot& input,
                                 const Slot& output, const Slot* residual);
// Throws std::invalid_argument for sizes that no step takes.
void check(const Pool& pool);
// `shift` has one entry for each channel, or none; it takes the place of `pool`'s own.
std::unique_ptr<Step> pool_step(const Maps& maps, const Pool& pool, std::vector<float> shift,
                                const Slot& input, const Slot& output);
std::unique_ptr<Step> mean_step(const Maps& maps, const Slot& input, const Slot& output);
// `b` may be null: the activation alone.
std::unique_ptr<Step> add_step(const Maps& maps, const Slot& a, const Slot* b, const Slot& output,
                               Activation activation);
std::unique_ptr<Step> affine_step(const Maps& maps, std::vector<float> scale,
                                  std::vector<float> shift, Activation activation,
                                  const Slot& input, const Slot& output);
std::unique_ptr<Step> gate_step(const Maps& maps, const Slot& input, const Slot& gates,
                                const Slot& output);
std::unique_ptr<Step> copy_step(const Slot& source, const Slot& target);
// Zeros.
std::unique_ptr<Step> clear_step(const Slot& target);

}  // namespace openwork
