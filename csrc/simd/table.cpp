#include "table.h"

#include "product.h"
#include "tiles.h"
#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

const Kernels& kernels() {
  static const Kernels table{lanes,
                             most_vectors,
                             sizes_of(RowTiles{}),
                             sizes_of(TapTiles{}),
                             spmm,
                             winograd,
                             direct,
                             taps,
                             gemv,
                             dense_gemv,
                             sampled_spmm,
                             sampled_winograd,
                             training,
                             pooling,
                             elementwise,
                             batch_norm};
  return table;
}

}  // namespace openwork::OPENWORK_NAMESPACE
