// A captured network as a list of steps over one arena: one call from Python runs them all.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "../checks.h"

namespace openwork {

// Floats of a slot per image: with `most_batch` images no size in floats overflows int64.
constexpr int64_t most_floats = int64_t{1} << 40;

// Where a tensor lies: whole, or the same part of every image of a larger one. Sizes and offsets
// are floats per image; a batch multiplies those of whole tensors.
struct Slot {
  enum class Kind { arena, input, output };
  Kind kind;
  int64_t at;  // of the whole tensor: offset in the arena, or number of the input or output
  int64_t floats;
  int64_t image;      // of the whole tensor
  int64_t first = 0;  // of this part within each image
};

// One call's memory.
struct Frame {
  float* arena;
  const std::vector<const float*>& inputs;
  const std::vector<float*>& outputs;
  float* workspace;
  int batch;
  int threads;

  const float* read(const Slot& slot) const;
  float* write(const Slot& slot) const;
};

class Step {
 public:
  virtual ~Step() = default;
  virtual void run(const Frame& frame) const = 0;
  virtual int64_t workspace(int /*batch*/, int /*threads*/) const { return 0; }
};

class Program {
 public:
  Program() = default;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  Program(Program&&) = default;
  Program& operator=(Program&&) = default;

  // Returns the slot's number. Slots in the arena may share memory: the caller places them so that
  // no two that do are needed at the same time.
  int add_slot(Slot::Kind kind, int64_t at, int64_t floats);
  // Returns the number of a slot for `floats` of each image of the slot `whole`, from `first` on.
  int add_part(int whole, int64_t first, int64_t floats);
  const Slot& slot(int number) const;
  // Whether the two share memory.
  static bool overlap(const Slot& a, const Slot& b);
  void add_step(std::unique_ptr<Step> step) { steps_.push_back(std::move(step)); }

  int64_t arena(int batch, int threads) const;  // floats, workspace included
  // `seconds`: receives one time for each step; may be null.
  void run(const std::vector<const float*>& inputs, const std::vector<float*>& outputs,
           float* arena, int batch, int threads, double* seconds = nullptr) const;

  int inputs() const { return inputs_; }
  int outputs() const { return outputs_; }
  int steps() const { return static_cast<int>(steps_.size()); }
  int64_t input_floats(int number) const { return input_floats_[number]; }
  int64_t output_floats(int number) const { return output_floats_[number]; }

 private:
  int64_t workspace(int batch, int threads) const;

  std::vector<Slot> slots_;
  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<int64_t> input_floats_, output_floats_;
  int inputs_ = 0, outputs_ = 0;
  int64_t image_ = 0;  // arena floats per image
};

}  // namespace openwork
