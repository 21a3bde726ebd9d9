// Linear layers of bytes: a block's sixteen filters lie in the lanes, and four inputs of an image
// are the same for all of them.
#pragma once
#include <omp.h>

#include "../bytes.h"
#include "byte_vec.h"

namespace openwork::OPENWORK_NAMESPACE {

struct ByteLinear {
  static constexpr int block_rows = 16;  // filters
  static constexpr int vectors = block_rows / (pixels / 4);
  // Images whose sums are in registers at once.
  static constexpr int most_images = 4;

  const BytePlan& plan;
  const ByteRun& run;
  const uint8_t* gathered;  // each image's columns, group after group

  // Bytes of one image.
  static int64_t image_bytes(const BytePlan& p) { return round_up(p.group_column[p.groups], 64); }

  void gather(int64_t image, uint8_t* to) const {
    const uint8_t* from = run.input + image * run.in_image;
    const int64_t count = plan.group_column[plan.groups];
    for (int64_t i = 0; i < count; ++i) to[i] = from[plan.channel[plan.column[i]]];
  }

  // Blocks [first, last) of one group, for images from `image` on.
  template <int Images>
  void blocks(int64_t image, int group, int64_t first, int64_t last) const {
    const int64_t own = image_bytes(plan);
    const uint8_t* input = gathered + image * own + plan.group_column[group];
    for (int64_t b = first; b < last; ++b) {
      const int64_t start = plan.quad_start[b];
      const int64_t count = plan.quad_start[b + 1] - start;
      const uint16_t* quad = plan.quad + start;
      const int8_t* weight = plan.weight + start * 4 * block_rows;
      // Two sums for each image, so that one need not wait for the other.
      ints sum[2][Images][vectors]{};
      int64_t q = 0;
      for (; q + 2 <= count; q += 2, weight += 8 * block_rows) {
        add<Images>(sum[0], input + 4 * quad[q], weight, own);
        add<Images>(sum[1], input + 4 * quad[q + 1], weight + 4 * block_rows, own);
      }
      if (q < count) add<Images>(sum[0], input + 4 * quad[q], weight, own);
      for (int i = 0; i < Images; ++i)
        for (int v = 0; v < vectors; ++v)
          write(image + i, plan.filter + b * block_rows + v * (pixels / 4),
                sum[0][i][v] + sum[1][i][v]);
    }
  }

 private:
  template <int Images>
  OPENWORK_INLINE_MEMBER static void add(ints (&sum)[Images][vectors], const uint8_t* input,
                                         const int8_t* weight, int64_t own) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      const ints w = (ints)load_bytes(reinterpret_cast<const uint8_t*>(weight) + v * pixels);
#pragma GCC unroll 4
      for (int i = 0; i < Images; ++i) {
        const int8_t* four = reinterpret_cast<const int8_t*>(input + i * own);
        sum[i][v] = dot(sum[i][v], (bytes)broadcast_quad(four), w);
      }
    }
  }

  void write(int64_t image, const int32_t* filter, ints sum) const {
    constexpr int count = pixels / 4;
    ints offset{}, other{};
    reals scale{}, bias{};
    const uint8_t* residual = run.residual ? run.residual + image * run.residual_image : nullptr;
    for (int i = 0; i < count; ++i) {
      if (filter[i] < 0) continue;
      offset[i] = plan.offset[filter[i]];
      scale[i] = plan.scale[filter[i]];
      bias[i] = plan.bias[filter[i]];
      if (residual) other[i] = residual[filter[i]];
    }
    reals value = to_floats(sum + offset) * scale + bias;
    if (residual) value = value + to_floats(other - plan.residual_zero) * plan.residual_scale;
    value = between(value, plan.least, plan.most);
    const ints q = nearest(value) + plan.out_zero;
    for (int i = 0; i < count; ++i) {
      if (filter[i] < 0) continue;
      if (plan.to_float)
        static_cast<float*>(run.output)[image * run.out_image + filter[i]] = value[i];
      else
        static_cast<uint8_t*>(run.output)[image * run.out_image + filter[i]] =
            static_cast<uint8_t>(q[i]);
    }
  }
};

OPENWORK_INLINE void run_linear(const BytePlan& plan, const ByteRun& r) {
  uint8_t* gathered = reinterpret_cast<uint8_t*>(r.workspace);
  const ByteLinear work{plan, r, gathered};
  constexpr int most = ByteLinear::most_images;
  const int64_t tiles = (r.batch + most - 1) / most;
  // Enough parts of blocks for all threads.
  constexpr int64_t some = 8;
#pragma omp parallel num_threads(r.threads)
  {
#pragma omp for schedule(static)
    for (int64_t image = 0; image < r.batch; ++image)
      work.gather(image, gathered + image * ByteLinear::image_bytes(plan));
    for (int group = 0; group < plan.groups; ++group) {
      const int64_t begin = plan.group_block[group];
      const int64_t parts = (plan.group_block[group + 1] - begin + some - 1) / some;
#pragma omp for schedule(static) nowait
      for (int64_t i = 0; i < tiles * parts; ++i) {
        const int64_t image = i / parts * most, first = begin + i % parts * some;
        const int64_t end = plan.group_block[group + 1];
        const int64_t last = first + some < end ? first + some : end;
        switch (r.batch - image) {
          case 1:
            work.blocks<1>(image, group, first, last);
            break;
          case 2:
            work.blocks<2>(image, group, first, last);
            break;
          case 3:
            work.blocks<3>(image, group, first, last);
            break;
          default:
            work.blocks<most>(image, group, first, last);
        }
      }
    }
  }
}

OPENWORK_INLINE int64_t linear_workspace(const BytePlan& plan, int batch) {
  return batch * ByteLinear::image_bytes(plan) / 4;
}

}  // namespace openwork::OPENWORK_NAMESPACE
