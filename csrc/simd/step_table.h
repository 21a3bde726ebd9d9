// The kernels of steps of one instruction set, as the files beside this one define them.
#pragma once
#include "../step_kernels.h"

namespace openwork::OPENWORK_NAMESPACE {

extern const Functions functions;
extern const Moving moving;
extern const Normalizing normalizing;
extern const Resampling resampling;
const StepKernels& step_kernels();

}  // namespace openwork::OPENWORK_NAMESPACE
