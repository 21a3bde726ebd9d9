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
                             sizes_of(DenseTiles{}),
                             spmm,
                             winograd,
                             direct,
                             taps,
                             depthwise,
                             dense,
                             gemv,
                             dense_gemv,
                             sampled_spmm,
                             sampled_winograd,
                             sampled_direct,
                             sampled_depthwise,
                             transposed_depthwise,
                             training,
                             pooling,
                             elementwise,
                             batch_norm,
                             max_pool2d,
                             pairs};
  return table;
}

}  // namespace openwork::OPENWORK_NAMESPACE
