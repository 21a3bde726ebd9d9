// f32-max-pool2d: training's maxima over windows, and gradients that go back to where they were.
//
// A row of outputs takes the window's taps one after the other, each as a strided row of the input:
// loops without branches, which compilers turn into vectors. Pairs of columns, the usual case, are
// split in registers instead, three times as fast.
#include "../max_pool2d.h"

#include <cstring>

#include "shuffle.h"
#include "table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

// Outputs of a row that are worked on together.
constexpr int chunk = 512;

struct Row {
  float best[chunk];
  int32_t tap[chunk];
};

// As torch does it: the first of equal values wins, the last NaN wins.
template <int Stride>
void take_larger_row(const float* in, int stride, int count, int tap, float* best, int32_t* which) {
  const int step = Stride ? Stride : stride;
#pragma omp simd
  for (int j = 0; j < count; ++j) {
    const float value = in[j * step];
    const bool larger = (which[j] < 0) | (value > best[j]) | (value != value);
    best[j] = larger ? value : best[j];
    which[j] = larger ? tap : which[j];
  }
}

// Outputs [first, last) whose tap at `shift` of the window lies in a row of `size` values.
struct Span {
  int first, last;
};

Span inside(int shift, int stride, int size, int from, int to) {
  const int first = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
  const int last = size <= shift ? 0 : (size - 1 - shift) / stride + 1;
  return {first > from ? first : from, last < to ? last : to};
}

void pool_row(const Pool& p, const float* map, int out_y, int from, int to, Row& row) {
  for (int j = 0; j < to - from; ++j) {
    row.best[j] = -__builtin_inff();
    row.tap[j] = -1;
  }
  for (int ky = 0; ky < p.kernel_y; ++ky) {
    const int y = out_y * p.stride_y - p.pad_y + ky;
    if (y < 0 || y >= p.height) continue;
    for (int kx = 0; kx < p.kernel_x; ++kx) {
      const int shift = kx - p.pad_x;
      const Span span = inside(shift, p.stride_x, p.width, from, to);
      if (span.first >= span.last) continue;
      const float* in = map + static_cast<int64_t>(y) * p.width +
                        static_cast<int64_t>(span.first) * p.stride_x + shift;
      const int count = span.last - span.first;
      const int tap = ky * p.kernel_x + kx;
      float* best = row.best + span.first - from;
      int32_t* which = row.tap + span.first - from;
      if (p.stride_x == 1)
        take_larger_row<1>(in, 1, count, tap, best, which);
      else if (p.stride_x == 2)
        take_larger_row<2>(in, 2, count, tap, best, which);
      else
        take_larger_row<0>(in, p.stride_x, count, tap, best, which);
    }
  }
}

using bytes __attribute__((vector_size(lanes))) = uint8_t;

OPENWORK_INLINE void take_larger(vec value, int tap, vec& best, ivec& which) {
  const ivec larger = (which < 0) | (value > best) | (value != value);
  best = larger ? value : best;
  which = larger ? ivec{} + tap : which;
}

// A row of windows of two columns that touch without overlapping.
void pool_pairs(const Pool& p, const float* map, int out_y, float* output, uint8_t* tap) {
  for (int x = 0; x < p.out_width; x += lanes) {
    const int count = p.out_width - x < lanes ? p.out_width - x : lanes;
    vec best{};
    ivec which = ivec{} - 1;
    for (int ky = 0; ky < p.kernel_y; ++ky) {
      const int y = out_y * p.stride_y - p.pad_y + ky;
      if (y < 0 || y >= p.height) continue;
      const float* in = map + static_cast<int64_t>(y) * p.width + 2 * x;
      vec pair[2] = {load_lanes(in, 0, 2 * count < lanes ? 2 * count : lanes), vec{}};
      if (2 * count > lanes) pair[1] = load_lanes(in + lanes, 0, 2 * count - lanes);
      split<2>(pair);
      take_larger(pair[0], 2 * ky, best, which);
      take_larger(pair[1], 2 * ky + 1, best, which);
    }
    store_lanes(output + x, best, count);
    const bytes narrow = __builtin_convertvector(which, bytes);
    std::memcpy(tap + x, &narrow, static_cast<size_t>(count));
  }
}

bool is_pairs(const Pool& p) {
  return p.kernel_x == 2 && p.stride_x == 2 && p.pad_x == 0 && 2 * p.out_width <= p.width;
}

void forward(const Pool& p, const float* input, float* output, uint8_t* tap, int batch,
             int threads) {
  const int64_t maps = static_cast<int64_t>(batch) * p.channels;
  const int64_t in_size = static_cast<int64_t>(p.height) * p.width;
  const int64_t out_size = static_cast<int64_t>(p.out_height) * p.out_width;
  const bool pairs = is_pairs(p);
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t map = 0; map < maps; ++map) {
    if (pairs) {
      for (int y = 0; y < p.out_height; ++y) {
        const int64_t at = map * out_size + static_cast<int64_t>(y) * p.out_width;
        pool_pairs(p, input + map * in_size, y, output + at, tap + at);
      }
      continue;
    }
    Row row;
    for (int y = 0; y < p.out_height; ++y)
      for (int from = 0; from < p.out_width; from += chunk) {
        const int to = p.out_width - from < chunk ? p.out_width : from + chunk;
        pool_row(p, input + map * in_size, y, from, to, row);
        const int64_t at = map * out_size + static_cast<int64_t>(y) * p.out_width + from;
        for (int j = 0; j < to - from; ++j) {
          output[at + j] = row.best[j];
          tap[at + j] = static_cast<uint8_t>(row.tap[j]);
        }
      }
  }
}

bool backward(const Pool& p, const float* gradient, const uint8_t* tap, float* grad_input,
              int batch, int threads) {
  const int64_t maps = static_cast<int64_t>(batch) * p.channels;
  const int64_t in_size = static_cast<int64_t>(p.height) * p.width;
  const int64_t out_size = static_cast<int64_t>(p.out_height) * p.out_width;
  // Of each tap, from the first value of its window.
  int64_t offset[256];
  for (int k = 0; k < 256; ++k)
    offset[k] = static_cast<int64_t>(k / p.kernel_x) * p.width + k % p.kernel_x;
  bool inside = true;
#pragma omp parallel for num_threads(threads) if (threads > 1) reduction(&& : inside)
  for (int64_t map = 0; map < maps; ++map) {
    float* into = grad_input + map * in_size;
    for (int64_t i = 0; i < in_size; ++i) into[i] = 0;
    int64_t at = map * out_size;
    for (int y = 0; y < p.out_height; ++y) {
      int64_t window = static_cast<int64_t>(y * p.stride_y - p.pad_y) * p.width - p.pad_x;
      for (int x = 0; x < p.out_width; ++x, ++at, window += p.stride_x) {
        const int64_t place = window + offset[tap[at]];
        if (static_cast<uint64_t>(place) < static_cast<uint64_t>(in_size))
          into[place] += gradient[at];
        else
          inside = false;
      }
    }
  }
  return inside;
}

}  // namespace

const MaxPool2d max_pool2d{forward, backward};

}  // namespace openwork::OPENWORK_NAMESPACE
