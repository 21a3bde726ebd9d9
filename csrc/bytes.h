// Networks of bytes: maps of uint8 numbers, each (q - zero) * scale, and weights of int8.
//
// An image of a value lies in a slot of floats, planar, four numbers in each float, so its size in
// bytes is rounded up to fours. All instruction sets give the same results, bit for bit: sums are
// exact, and what follows them is float32 arithmetic in a fixed order without fused multiply-adds.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kernels.h"
#include "pool.h"

namespace openwork {

// Most live weights of one filter: 255 * 127 times as much is still an int32.
constexpr int most_byte_inputs = 65536;
// Pixels of a map of a plain layer whose columns may be read twice.
constexpr int most_direct_map = 2048;
// Of a padded row that is pooled, and of the pixels of a map whose mean is taken.
constexpr int most_pool_width = 8192;
constexpr int most_mean_pixels = 1 << 23;

// Where columns lie. Rows and columns of the padded input that have the same remainder by the
// strides lie side by side, so that neighbouring outputs read neighbouring bytes. Plain layers read
// the input itself.
struct ByteLayout {
  bool plain;
  int rows, width;  // of one phase
  int64_t channel;  // bytes

  ByteLayout(const Geometry& g, bool plain);
  int64_t tap(const Geometry& g, int number) const;
};

// A convolution as blocks of filters that read columns (a channel at a tap) in fours.
//
// Groups list their columns; four of a group's columns are a quad, interleaved pixel by pixel. A
// block has `rows` filters and the list of quads that any of them reads.
struct BytePlan {
  Geometry geometry;
  bool plain;  // reads each channel at its own pixel alone: column c is channel c
  int columns;
  const int32_t* channel;  // [columns]
  const uint16_t* tap;     // [columns]
  int groups;
  const int64_t* group_column;  // [groups + 1], into `column`: multiples of 4
  const int32_t* column;
  const int32_t* place;        // of each entry of `column`, as `places` has them
  const int64_t* group_block;  // [groups + 1], into blocks
  int blocks, rows;            // rows: 1, 2, 4 or 8; 16 where maps are single pixels
  const int32_t* filter;       // [blocks * rows]; -1 for none
  const int64_t* quad_start;   // [blocks + 1], into `quad`
  const uint16_t* quad;        // within the group
  const int8_t* weight;        // for each entry of `quad`: [rows][4]
  // What some weights exceed 16-bit sums by: each entry has a quad for each row of the block.
  const int64_t* rest_start;  // [blocks + 1], into entries
  const uint16_t* rest_quad;  // [entries][rows], within the group
  const int8_t* rest_weight;  // [entries][rows][4]: each pair fits 16 bits
  // For kernels that add products in 16 bits, null for others. For each block: how many of its
  // first quads fit two at a time, and how many after them one at a time. For each depthwise
  // filter: bit k says that row k of its kernel fits.
  const int32_t* narrow;
  bool depthwise;         // no quads; weight: [out_channels][kernel_y][fours][2][4], where
                          // fours of a row take turns with those of it one pixel on
  int most_quads;         // of one group
  int zero;               // of the input
  const int32_t* offset;  // [out_channels]: -zero * sum of the filter's weights
  const float* scale;     // [out_channels]
  const float* bias;      // [out_channels]
  // y = float(sum + offset) * scale + bias, then + float(residual - residual_zero) *
  // residual_scale, then between `least` and `most`. Floats are written as they are; bytes are y
  // rounded to the nearest, halves to even, plus `out_zero`.
  bool to_float;
  float least, most;
  int out_zero;
  int residual_zero;
  float residual_scale;
};

struct ByteRun {
  const uint8_t* input;
  const uint8_t* residual;                      // may be null; may be the output
  void* output;                                 // uint8, or float
  int64_t in_image, residual_image, out_image;  // bytes, or floats, from image to image
  float* workspace;
  int batch, threads;
};

// One map of bytes: q stands for (q - zero) * scale.
struct ByteMap {
  int zero;
  float scale;
};

struct ByteKernels {
  const char* name;
  int pixels;   // in a tile
  bool narrow;  // reads plan.narrow
  Kernel<BytePlan, ByteRun> conv;
  // clamp(round(x * inverse) + zero, least, most), halves to even.
  void (*quantize)(const float* input, uint8_t* output, int64_t count, float inverse, int zero,
                   int least, int most, int threads);
  // (q - zero) * scale.
  void (*dequantize)(const uint8_t* input, float* output, int64_t count, ByteMap map, int threads);
  // The largest of each window; `pool.average` and what follows it are not read.
  void (*max_pool)(const Pool& pool, const uint8_t* input, uint8_t* output, int threads);
  // clamp(round(float(sum - pixels * from.zero) * scale) + zero, least, most) of each map.
  void (*mean)(const uint8_t* input, uint8_t* output, int64_t maps, int64_t pixels, int from_zero,
               float scale, int zero, int least, int most);
  // clamp(round((a - a.zero) * a.scale + (b - b.zero) * b.scale) + zero, least, most).
  void (*add)(const uint8_t* a, const uint8_t* b, uint8_t* output, int64_t count, ByteMap from_a,
              ByteMap from_b, int zero, int least, int most, int threads);
};

// Usable here, worst first.
std::vector<std::string> byte_isas();
// Which of them runs where a network is compiled for `isa`: "avx512vnni" for "avx512" and
// "avxvnni" for "avx2", if there.
std::string byte_isa_of(const std::string& isa);
// Throws std::invalid_argument for one that is not usable.
const ByteKernels& byte_kernels_of(const std::string& isa);

// Lengths of the arrays of a plan.
struct ByteCounts {
  int64_t column, quad, weight, rest_quad, rest_weight;
};

// All but `place`, `most_quads` and `narrow`, which follow from the others. Throws
// std::invalid_argument.
void check(const BytePlan& plan, const ByteCounts& counts);

int most_quads(const BytePlan& plan);

// The largest sum of a pair's weights of one sign whose products with bytes fit 16 bits.
constexpr int most_narrow = 128;
// What `plan.narrow` says.
std::vector<int32_t> narrow_of(const BytePlan& plan);

// Where each of the group's columns begins in an image, in bytes; throws std::invalid_argument.
std::vector<int32_t> places(const BytePlan& plan);

// Floats that hold `numbers` bytes.
inline int64_t byte_floats(int64_t numbers) { return (numbers + 3) / 4; }

}  // namespace openwork
