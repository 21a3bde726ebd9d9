// Packed layers. The arrays are borrowed: code that fills a plan keeps them alive and has checked
// them (checks.h). Their formats are numbered where Python packs them:
// src/openwork/kernels/pack_*.py.
#pragma once
#include <cstdint>

#include "problem.h"

namespace openwork {

// Filters that threads may share out between them: in every chunk the groups of one block hold the
// same filters. A multiple of the largest group.
constexpr int filter_block = 64;

// Taps of a kernel that runs as a sparse product.
constexpr int most_taps = 1024;

// Columns of a sparse product: one for each pair of channel and tap.
constexpr int most_columns = most_size * most_taps;

// Floats of a padded input that the taps kernel reads: less than 2^31 by more than any tile,
// because it counts places in 32 bits.
constexpr int most_padded_floats = INT32_MAX - 4096;

// Live connections of a sparse matrix, filters taken `group` at a time, inputs cut into chunks.
//
// Entries of float32 weights have one index; pairs of bfloat16 have two, and weights of 32 bits
// that hold one for each of them, the first in the lower half. Their inputs count from 1 in each
// chunk: input 0 is zero, the other half of an entry that is alone.
template <class Weight>
struct SparseLists {
  int inputs;  // columns of the matrix
  int rows;    // filters
  int chunk;   // inputs per chunk
  int chunks;
  int group;                    // filters that are processed together: 1, 2, 4, or 8 of pairs
  int groups;                   // ceil(rows / group)
  int64_t live;                 // weights per position
  const int32_t* row;           // [chunks][groups][group], -1 where a group is not full
  const uint16_t* count;        // [chunks][groups][loops(group)], entries
  const int64_t* entry_start;   // [chunks][groups], into `index`
  const int64_t* weight_start;  // [chunks][groups]
  const uint16_t* index;        // input within its chunk
  const Weight* weight;         // [positions][live]
};
using Lists = SparseLists<float>;
using PairLists = SparseLists<int32_t>;

template <class Weight>
constexpr int most_group = 4;
template <>
inline constexpr int most_group<int32_t> = 8;

// How many lists of entries a group has: one for each set of filters that may read an input; of
// eight, all of them read all.
constexpr int loops(int group) { return group > 4 ? 1 : (1 << group) - 1; }
// Filters that read the entries of list `mask`, counted from 1.
constexpr int readers(int group, int mask) {
  return group > 4 ? group : __builtin_popcount(static_cast<unsigned>(mask));
}

// A convolution as sparse matrix times gathered pixels: one column for each live (channel, tap).
struct SpmmPlan {
  Geometry geometry;
  Epilogue epilogue;
  Lists lists;
  const int32_t* channel;  // [inputs]
  const uint16_t* tap;     // [inputs], ky * kernel_x + kx
  bool plain;              // 1x1 with stride 1, unpadded; columns are all channels in order
  int vectors;             // most vectors of pixels in one tile
  bool in_place;           // plain: read whole tiles from the input itself instead of a packed copy
};

// Most vectors of pixels in a tile of pairs: what 32 registers hold. The same everywhere, so that a
// file's layers run on each instruction set.
constexpr int most_pair_vectors(int group) { return group == 8 ? 3 : group == 4 ? 5 : 8; }

// The same in bfloat16, two inputs at a time, with float32 sums.
struct PairPlan {
  Geometry geometry;
  Epilogue epilogue;
  PairLists lists;
  const int32_t* channel;  // [inputs]
  const uint16_t* tap;     // [inputs]
  bool plain;              // as of SpmmPlan
  int vectors;             // most vectors of pixels in one tile
};

// A 3x3 stride-1 convolution as one sparse product per position of the transformed tile.
struct WinogradPlan {
  Geometry geometry;
  Epilogue epilogue;
  Lists lists;
  int vectors;  // most vectors of tiles in one block
  int output;   // outputs per tile side: 2 or 4
};

// A direct convolution whose live unit is the whole kernel.
struct DirectPlan {
  Geometry geometry;
  Epilogue epilogue;
  int rows, vectors;     // register tile
  const int64_t* start;  // [out_channels + 1] into index
  const int32_t* index;  // [connections], input channel
  const float* weight;   // [connections][kernel_x][kernel_y]: the order in which the tile reads
};

// A direct convolution whose live unit is the single tap: any geometry.
struct TapsPlan {
  Geometry geometry;
  Epilogue epilogue;
  int rows, vectors;      // register tile
  bool flat;              // the whole padded map as one row: for maps narrower than a vector
  const int64_t* start;   // [out_channels + 1] into offset
  const int32_t* offset;  // [taps], floats from the start of the padded planes
  const float* weight;    // [taps]
};

// A convolution without dead taps as matrix times gathered pixels.
struct DensePlan {
  Geometry geometry;
  Epilogue epilogue;
  int inputs;              // in_channels * taps
  const int32_t* channel;  // [inputs]
  const uint16_t* tap;     // [inputs]
  const float* weight;     // [groups of filters][inputs][group], the last group filled with zeros
  int group, vectors;      // register tile: filters, most vectors of pixels
  bool in_place;           // 1x1, stride 1, unpadded: read whole tiles from the input itself
};

// A convolution whose filters read one input channel each.
struct DepthwisePlan {
  Geometry geometry;
  Epilogue epilogue;
  const int32_t* channel;  // [out_channels], input channel
  const int64_t* start;    // [out_channels + 1] into tap
  const uint16_t* tap;     // [taps], ky * kernel_x + kx, rising within a filter
  const float* weight;     // [taps]
};

}  // namespace openwork
