// One step of a packed file.
#pragma once
#include <memory>
#include <string>

#include "../program/program.h"
#include "cursor.h"

namespace openwork {

// Throws std::invalid_argument.
std::unique_ptr<Step> read_step(Cursor& front, const std::string& isa, const Program& program,
                                const std::shared_ptr<const void>& keep);

}  // namespace openwork
