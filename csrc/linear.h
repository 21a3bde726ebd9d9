// Packed linear layers: 1x1 convolutions of maps of one pixel. The arrays are borrowed, as in
// plans.h.
#pragma once
#include <cstdint>

#include "problem.h"

namespace openwork {

// A sparse matrix times vectors, in slices of as many rows as a vector has lanes. `group`
// neighbouring lanes of a slice read the same inputs.
struct GemvPlan {
  Geometry geometry;
  Epilogue epilogue;
  int lanes;              // rows in one slice
  int group;              // 1, 4 or `lanes`
  int chunk;              // inputs per chunk
  int chunks;             // ceil(inputs / chunk)
  int slices;             // of rows
  const int32_t* row;     // [slices][lanes], -1 where the last slices are not full
  const int64_t* start;   // [slices * chunks + 1], first step of each chunk of each slice
  const uint16_t* index;  // [steps][lanes / group], input within its chunk, `chunk` for none
  const float* weight;    // [steps][lanes]
};

// A dense matrix times vectors.
struct DenseGemvPlan {
  Geometry geometry;
  Epilogue epilogue;
  const float* weight;  // [out_channels][in_channels]
};

// Both throw std::invalid_argument.
// `rows`: length of plan.row, `starts`: of plan.start, `indices`: of plan.index, `weights`: of
// plan.weight.
void check(const GemvPlan& plan, int64_t rows, int64_t starts, int64_t indices, int64_t weights);
// `weights`: length of plan.weight.
void check(const DenseGemvPlan& plan, int64_t weights);

}  // namespace openwork
