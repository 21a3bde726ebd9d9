// What training asks for beside a forward pass: layers whose weights change from call to call, and
// the gradient of live weights alone. The arrays are borrowed, as those of plans.h are; their
// formats are numbered in src/openwork/kernels/training/pack.py.
#pragma once
#include <cstdint>

#include "problem.h"

namespace openwork {

// Where whole kernels lie among a call's weights, and among a product's packed ones: there each
// entry has the taps of as many kernels as its mask has bits, tap by tap.
struct WholeKernels {
  int taps;                     // of a kernel; 1 for single weights, which need nothing else
  const int32_t* step;          // [taps]: from a kernel's place to that of its tap
  const uint16_t* count;        // as in Lists; null if kernels follow each other undivided
  const int64_t* weight_start;  // as in Lists
  int64_t slots;                // groups of all chunks
  int masks;
};

// How the live weights of a call, in canonical order, become a kernel's packed ones.
struct Refill {
  const int32_t* order;  // [packed / whole.taps]: place among the live weights of each packed one,
                         // or of each kernel; connection if Winograd
  int64_t packed;
  int64_t live;  // weights of a call
  WholeKernels whole;
  const int32_t* tap;  // Winograd: [connections][9], live weight of each tap or -1; null if each
                       // connection has its nine taps, one after another
  bool flipped;        // Winograd: taps in reverse, for the gradient of the input
  int output;          // Winograd: outputs per tile side, 2 or 4; 0 for other kernels
};

// The live entries of a sparse matrix whose gradient is wanted, in canonical order. Columns are cut
// into chunks, so that what one chunk reads stays in the L1 cache.
struct Samples {
  int inputs, rows;  // columns of the matrix; filters
  int chunk;         // columns per chunk
  int chunks;
  int64_t live;
  const int32_t* bound;   // [chunks + 1][rows]: first entry of each filter in each chunk
  const uint16_t* index;  // [live], column within its chunk
};

// Sums over pixels of gradient times gathered input: one column for each live (channel, tap).
struct SampledSpmmPlan {
  Geometry geometry;
  Samples samples;
  const int32_t* channel;  // [inputs]
  const uint16_t* tap;     // [inputs], ky * kernel_x + kx
  int vectors;             // of pixels in one tile: 1, 2, 4 or 8
  bool in_place;           // 1x1, stride 1, unpadded: whole tiles are read where they lie
};

// The same for 3x3 kernels with stride 1, in the Winograd domain: F(3x3, 4x4).
struct SampledWinogradPlan {
  Geometry geometry;
  Samples samples;     // of connections
  const int32_t* tap;  // as in Refill
  int64_t live;        // weights
  int vectors;         // of tiles in one block: 1, 2, 4 or 8
};

// The same for whole 3x3 kernels with stride 1, map by map.
struct SampledDirectPlan {
  Geometry geometry;
  Samples samples;  // of connections, in one chunk; each has nine weights, one after another
};

// The same for whole square kernels, one by one: for filters that read few channels each.
struct SampledDepthwisePlan {
  Geometry geometry;
  int connections;         // each has all its taps, one after another
  const int32_t* filter;   // [connections]
  const int32_t* channel;  // [connections]
};

// The gradient of the input of a layer with stride 2 whose channels are read by one filter at most,
// with a whole kernel. In a call the input is the output's gradient.
struct TransposedDepthwisePlan {
  Geometry geometry;      // of the layer
  Epilogue epilogue;      // a bias for each input channel; no activation
  const int32_t* filter;  // [in_channels], the one that reads it
  const int32_t* kernel;  // [in_channels], its place among the packed kernels; -1 if none reads it
  const float* weight;    // [kernels][taps]
};

// One call. `input` and `gradient` are NCHW float32; `output` is (live,), in canonical order.
struct SampledRun {
  const float* input;
  const float* gradient;
  float* output;
  int64_t in_image, out_image;  // floats from image to image
  float* workspace;
  int batch;
  int threads;
};

// One phase of a strided convolution's input gradient: every stride-th row and column.
struct Phase {
  const float* from;  // (images * channels, height, width); null for zeros
  int height, width;
  int top, left;  // row and column of `from` that the phase's first pixel takes
};

struct Interleave {
  const Phase* phases;  // [stride_y][stride_x]
  int stride_y, stride_x;
  int64_t maps;
  int height, width;  // of the output
  float* output;
};

// The functions of one instruction set.
struct Training {
  // `to` has room for `packed` floats, times the tile's positions if Winograd.
  void (*refill)(const Refill&, const float* values, float* to, int threads);
  void (*interleave)(const Interleave&, int threads);
};

}  // namespace openwork
