// A packed file to a program that can run. `src/openwork/runtime/packed/layout.py` says what a file
// holds.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "../program/program.h"
#include "bytes.h"

namespace openwork {

// One input or output; its shape is that of one image.
struct TensorInfo {
  std::string name;
  std::vector<int64_t> shape;
};

struct PackedProgram {
  Program program;
  std::string isa;
  std::vector<TensorInfo> inputs, outputs;
  int64_t least_batch, most_batch;
  std::string notes;  // what Python wants to know besides; JSON
};

// Layers keep `bytes.keep` and point into `bytes.data`. Throws std::invalid_argument, and
// std::bad_alloc.
PackedProgram read_program(const Bytes& bytes);

}  // namespace openwork
