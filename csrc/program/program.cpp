#include "program.h"

#include <algorithm>
#include <chrono>

namespace openwork {

const float* Frame::read(const Slot& slot) const {
  switch (slot.kind) {
    case Slot::Kind::arena:
      return arena + slot.at * batch + slot.first;
    case Slot::Kind::input:
      return inputs[slot.at] + slot.first;
    case Slot::Kind::output:
      return outputs[slot.at] + slot.first;
  }
  return nullptr;
}

float* Frame::write(const Slot& slot) const {
  return (slot.kind == Slot::Kind::arena ? arena + slot.at * batch : outputs[slot.at]) + slot.first;
}

int Program::add_slot(Slot::Kind kind, int64_t at, int64_t floats) {
  if (at < 0 || floats < 1 || floats > most_floats || at > most_floats)
    fail("`floats`=", floats, " must lie in [1, ", most_floats, "] and `at`=", at, " in [0, ",
         most_floats, "]");
  auto number = [&](std::vector<int64_t>& sizes, int& count) {
    if (at != count)
      fail("inputs and outputs are numbered in order; expected ", count, ", got ", at);
    sizes.push_back(floats);
    ++count;
  };
  if (kind == Slot::Kind::input) number(input_floats_, inputs_);
  if (kind == Slot::Kind::output) number(output_floats_, outputs_);
  if (kind == Slot::Kind::arena) image_ = std::max(image_, at + floats);
  slots_.push_back({kind, at, floats, floats});
  return static_cast<int>(slots_.size()) - 1;
}

int Program::add_part(int whole, int64_t first, int64_t floats) {
  Slot part = slot(whole);
  if (first < 0 || floats < 1 || first > part.floats - floats)
    fail("`floats`=", floats, " from `first`=", first, " on are not part of slot ", whole,
         ", which has ", part.floats);
  part.first += first;
  part.floats = floats;
  slots_.push_back(part);
  return static_cast<int>(slots_.size()) - 1;
}

const Slot& Program::slot(int number) const {
  if (number < 0 || number >= static_cast<int>(slots_.size()))
    fail("there is no slot ", number, "; the program has ", static_cast<int64_t>(slots_.size()));
  return slots_[number];
}

bool Program::overlap(const Slot& a, const Slot& b) {
  if (a.kind != b.kind) return false;
  if (a.at == b.at && a.image == b.image)
    return a.first < b.first + b.floats && b.first < a.first + a.floats;
  // Images of one may lie between images of the other, so the whole tensors are compared.
  if (a.kind != Slot::Kind::arena) return a.at == b.at;
  return a.at < b.at + b.image && b.at < a.at + a.image;
}

int64_t Program::workspace(int batch, int threads) const {
  int64_t most = 0;
  for (const auto& step : steps_) most = std::max(most, step->workspace(batch, threads));
  return most;
}

// Both parts start on a cache line.
int64_t Program::arena(int batch, int threads) const {
  return (image_ * batch + 15) / 16 * 16 + workspace(batch, threads) + 16;
}

void Program::run(const std::vector<const float*>& inputs, const std::vector<float*>& outputs,
                  float* arena, int batch, int threads, double* seconds) const {
  float* workspace = arena + (image_ * batch + 15) / 16 * 16;
  const Frame frame{arena, inputs, outputs, workspace, batch, threads};
  if (!seconds) {
    for (const auto& step : steps_) step->run(frame);
    return;
  }
  for (const auto& step : steps_) {
    const auto began = std::chrono::steady_clock::now();
    step->run(frame);
    *seconds++ = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  }
}

}  // namespace openwork
