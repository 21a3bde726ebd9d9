// The kernels of bytes of one instruction set, as the files beside this one define them.
#pragma once
#include "../bytes.h"

namespace openwork::OPENWORK_NAMESPACE {

extern const Kernel<BytePlan, ByteRun> byte_conv;
const ByteKernels& byte_kernels();

}  // namespace openwork::OPENWORK_NAMESPACE
