// Packing of sparse matrices for the product kernels. The formats are numbered in
// src/openwork/kernels/pack_lists.py.
#pragma once
#include <cstdint>
#include <vector>

namespace openwork {

// Live entries of a matrix, strictly rising by row, then by column. Each stands for `taps` columns
// of the packed matrix, one after another: whole kernels are packed as one entry.
struct Entries {
  int rows, inputs;
  int taps;
  int64_t live;
  const int32_t* out;     // [live], row
  const int32_t* inside;  // [live], column
};

// Arrays 1 to 5, and the entry of each packed weight; of each `taps` weights, tap by tap, where
// that is more than one.
struct PackedLists {
  std::vector<int32_t> row;
  std::vector<uint16_t> count;
  std::vector<int64_t> entry_start, weight_start;
  std::vector<uint16_t> index;
  std::vector<int32_t> order;
};

// `chunk`: entries. `alike`: search each block for filters that share inputs; else neighbours form
// a group. Throws std::invalid_argument for sizes or entries that break the rules.
PackedLists pack_lists(const Entries& entries, int chunk, int group, bool alike);

}  // namespace openwork
