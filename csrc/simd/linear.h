// What the kernels of linear layers share: each thread's part, and the epilogue of finished sums.
#pragma once
#include <omp.h>

#include "epilogue.h"

namespace openwork::OPENWORK_NAMESPACE {

// The share of one thread of those that run a parallel region.
struct Part {
  int part = omp_get_thread_num();
  int parts = omp_get_num_threads();

  OPENWORK_INLINE_MEMBER int64_t begin(int64_t count) const { return count * part / parts; }
  OPENWORK_INLINE_MEMBER int64_t end(int64_t count) const { return count * (part + 1) / parts; }
};

// Writes rows [first, last) of images [image, image + images), whose sums are [images][rows].
OPENWORK_INLINE void finish_rows(const Epilogue& epilogue, const Run& run, const float* sums,
                                 int rows, int image, int images, int64_t first, int64_t last) {
  const EpilogueWriter writer(epilogue, run);
  for (int i = 0; i < images; ++i) {
    const float* from = sums + static_cast<int64_t>(i) * rows;
    const int64_t to = (image + i) * run.out_image;
    for (int64_t row = first; row < last; row += lanes) {
      const int count = static_cast<int>(last - row < lanes ? last - row : lanes);
      vec sum = load_lanes(from + row, 0, count);
      if (epilogue.bias) sum += load_lanes(epilogue.bias + row, 0, count);
      writer.write_tail(sum, to + row, count);
    }
  }
}

}  // namespace openwork::OPENWORK_NAMESPACE
