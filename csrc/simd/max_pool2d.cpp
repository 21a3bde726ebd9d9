// f32-max-pool2d: training's maxima over windows, and gradients that go back to where they were.
//
// A row of outputs takes the window's taps one after the other, each as a strided row of the input:
// loops without branches, which compilers turn into vectors. Windows of two or three columns at
// every second one, the usual cases, are split in registers instead, four times as fast.
#include "../max_pool2d.h"

#include <cstring>

#include "bfloat16.h"
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
template <int Stride, class T>
void take_larger_row(const T* in, int stride, int count, int tap, float* best, int32_t* which) {
  const int step = Stride ? Stride : stride;
#pragma omp simd
  for (int j = 0; j < count; ++j) {
    const float value = to_float(in[j * step]);
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

template <class T>
void pool_row(const Pool& p, const T* map, int out_y, int from, int to, Row& row) {
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
      const T* in = map + static_cast<int64_t>(y) * p.width +
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
  const ivec taken = (value > best) | (value != value);
  best = taken ? value : best;
  which = taken ? ivec{} + tap : which;
}

// Numbers [column, column + lanes) of a row, and -infinity beyond its ends.
template <class T>
OPENWORK_INLINE vec load_inside(const T* row, int column, int width) {
  const int first = column < 0 ? smaller(-column, lanes) : 0;
  const int last = larger(smaller(width - column, lanes), first);
  if (last - first == lanes) return load(row + column);
  ivec lane;
  for (int i = 0; i < lanes; ++i) lane[i] = i;
  const ivec there = (lane >= first) & (lane < last);
  return there ? load_part(row + column, first, last) : vec{} - __builtin_inff();
}

// Windows of two or three columns at every second one: columns are split in registers.
template <class T>
void pool_halves(const Pool& p, const T* map, int out_y, T* output, uint8_t* tap) {
  const int above = out_y * p.stride_y - p.pad_y;
  const int from = larger(-above, 0), to = smaller(p.kernel_y, p.height - above);
  for (int x = 0; x < p.out_width; x += lanes) {
    const int column = 2 * x - p.pad_x;
    vec best = vec{} - __builtin_inff();
    // The first tap inside, which stands if all are -infinity.
    ivec which;
    for (int i = 0; i < lanes; ++i) which[i] = i;
    which = -column - 2 * which;
    which = (which > 0 ? which : ivec{}) + from * p.kernel_x;
    for (int ky = from; ky < to; ++ky) {
      const T* row = map + static_cast<int64_t>(above + ky) * p.width;
      const int first = ky * p.kernel_x;
      vec pair[2] = {load_inside(row, column, p.width), load_inside(row, column + lanes, p.width)};
      split<2>(pair);
      take_larger(pair[0], first, best, which);
      take_larger(pair[1], first + 1, best, which);
      if (p.kernel_x == 2) continue;
      vec third[2] = {load_inside(row, column + 2, p.width),
                      load_inside(row, column + 2 + lanes, p.width)};
      split<2>(third);
      take_larger(third[0], first + 2, best, which);
    }
    const int count = smaller(p.out_width - x, lanes);
    store_lanes(output + x, best, count);
    const bytes narrow = __builtin_convertvector(which, bytes);
    std::memcpy(tap + x, &narrow, static_cast<size_t>(count));
  }
}

bool is_halves(const Pool& p) { return p.stride_x == 2 && (p.kernel_x == 2 || p.kernel_x == 3); }

template <class T>
void forward_with(const Pool& p, const T* input, T* output, uint8_t* tap, int batch, int threads) {
  const int64_t maps = static_cast<int64_t>(batch) * p.channels;
  const int64_t in_size = static_cast<int64_t>(p.height) * p.width;
  const int64_t out_size = static_cast<int64_t>(p.out_height) * p.out_width;
  const bool halves = is_halves(p);
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t map = 0; map < maps; ++map) {
    if (halves) {
      for (int y = 0; y < p.out_height; ++y) {
        const int64_t at = map * out_size + static_cast<int64_t>(y) * p.out_width;
        pool_halves(p, input + map * in_size, y, output + at, tap + at);
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
          output[at + j] = from_float<T>(row.best[j]);
          tap[at + j] = static_cast<uint8_t>(row.tap[j]);
        }
      }
  }
}

template <class T>
bool backward_with(const Pool& p, const T* gradient, const uint8_t* tap, T* grad_input, int batch,
                   int threads) {
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
    T* into = grad_input + map * in_size;
    std::memset(into, 0, static_cast<size_t>(in_size) * sizeof(T));
    int64_t at = map * out_size;
    for (int y = 0; y < p.out_height; ++y) {
      int64_t window = static_cast<int64_t>(y * p.stride_y - p.pad_y) * p.width - p.pad_x;
      for (int x = 0; x < p.out_width; ++x, ++at, window += p.stride_x) {
        const int64_t place = window + offset[tap[at]];
        if (static_cast<uint64_t>(place) < static_cast<uint64_t>(in_size))
          into[place] = from_float<T>(to_float(into[place]) + to_float(gradient[at]));
        else
          inside = false;
      }
    }
  }
  return inside;
}

void forward(const Pool& p, MapType type, const void* input, void* output, uint8_t* tap, int batch,
             int threads) {
  with_type(type, [&]<class T>() {
    forward_with(p, static_cast<const T*>(input), static_cast<T*>(output), tap, batch, threads);
  });
}

bool backward(const Pool& p, MapType type, const void* gradient, const uint8_t* tap,
              void* grad_input, int batch, int threads) {
  return with_type(type, [&]<class T>() {
    return backward_with(p, static_cast<const T*>(gradient), tap, static_cast<T*>(grad_input),
                         batch, threads);
  });
}

}  // namespace

const MaxPool2d max_pool2d{forward, backward};

}  // namespace openwork::OPENWORK_NAMESPACE
