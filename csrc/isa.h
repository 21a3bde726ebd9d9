// Which instruction set runs: the best that this CPU has and this build holds, unless overridden.
#pragma once
#include <string>
#include <vector>

#include "kernels.h"

namespace openwork {

// Usable here, worst first.
std::vector<std::string> usable_isas();
// The same in one text.
std::string usable_isas_text(const char* between = ", ");

// The environment variable OPENWORK_ISA if set and not empty, else the best usable one.
// Throws std::invalid_argument when the variable names one that cannot run here.
std::string chosen_isa();

bool is_usable(const std::string& isa);

// Sizes that layers are packed for.
struct Shapes {
  int lanes;
  int (*most_vectors)(int group);
  TileSizes row_tiles, tap_tiles, dense_tiles;
};

// Also for one that layers are packed for here and that runs elsewhere: NEON. Throws
// std::invalid_argument for others.
Shapes shapes_of(const std::string& isa);

// Throws std::invalid_argument for one that is not usable.
const Kernels& kernels_of(const std::string& isa);

}  // namespace openwork
