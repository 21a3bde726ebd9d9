// Packed layers of bytes of their sizes and arrays, wherever those come from.
#pragma once
#include <memory>
#include <string>

#include "../program/byte_steps.h"
#include "packing.h"

namespace openwork {

// Checks every size and index. `keep` keeps alive what `packing.arrays` point to. For an
// instruction set that cannot run here the result can be written to a file, but not run. Throws
// std::invalid_argument for what breaks a rule.
std::shared_ptr<const ByteLayer> make_byte_layer(const std::string& isa, Packing packing,
                                                 std::shared_ptr<const void> keep);

}  // namespace openwork
