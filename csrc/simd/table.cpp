#include "table.h"

#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

const Kernels& kernels() {
  static const Kernels table{lanes, spmm, winograd, direct, taps, maps};
  return table;
}

}  // namespace openwork::OPENWORK_NAMESPACE
