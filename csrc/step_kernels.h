// Kernels of a program's steps that no layer runs; apart from kernels.h, which slow sources
// include.
#pragma once
#include <string>

#include "functions.h"
#include "move.h"
#include "normalize.h"
#include "resample.h"

namespace openwork {

struct StepKernels {
  Functions functions;
  Moving moving;
  Normalizing normalizing;
  Resampling resampling;
};

// Throws std::invalid_argument for an instruction set that is not usable.
const StepKernels& step_kernels_of(const std::string& isa);

}  // namespace openwork
