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

// Instruction sets of the kernels of pairs, worst first: those that can run here, which emulate,
// and after "avx512" "avx512bf16", which has the instructions, if that can.
std::vector<std::string> pair_isas();
// Which of them runs where a network is compiled for `isa`.
std::string pair_isa_of(const std::string& isa);
// The kernels of one that has no others; null for the rest.
const Kernel<PairPlan>* pairs_beyond(const std::string& isa);

// What differs between processors of one instruction set.
// Whether instructions of 512 bits run in two halves, as on Zen 4.
bool halves_vectors(const std::string& isa);
bool is_amd();

}  // namespace openwork
