#include "step_table.h"

namespace openwork::OPENWORK_NAMESPACE {

const StepKernels& step_kernels() {
  static const StepKernels table{functions, moving, normalizing, resampling};
  return table;
}

}  // namespace openwork::OPENWORK_NAMESPACE
