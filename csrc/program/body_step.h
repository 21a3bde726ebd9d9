// Steps that are one function of their frame, and what all steps check.
#pragma once
#include <initializer_list>
#include <memory>
#include <optional>
#include <utility>

#include "program.h"

namespace openwork {

inline void require_floats(const char* what, int64_t found, int64_t wanted) {
  if (found != wanted)
    fail("`", what, "` has ", found, " floats per image, but the step needs ", wanted);
}

inline void require_writable(const Slot& slot) {
  if (slot.kind == Slot::Kind::input) fail("an input cannot be written to");
}

// For steps that read an input again after writing part of their output.
inline void require_apart(const Slot& output, const Slot& input) {
  if (Program::overlap(output, input)) fail("the step's output shares memory with what it reads");
}

// How many axes of `size` numbers, `inner` floats apart, lie one after another in an image.
inline int64_t outer_of(const Slot& slot, int64_t size, int64_t inner) {
  require_range("size", size, 1, slot.floats);
  require_range("inner", inner, 1, slot.floats);
  if (slot.floats % size || slot.floats / size % inner)
    fail("`size`=", size, " times `inner`=", inner, " must divide ", slot.floats);
  return slot.floats / size / inner;
}

// What a step adds to its results, if anything.
class Residual {
 public:
  Residual(const Slot* slot, int64_t floats) {
    if (!slot) return;
    require_floats("residual", slot->floats, floats);
    slot_ = *slot;
  }
  explicit operator bool() const { return slot_.has_value(); }
  const Slot& operator*() const { return *slot_; }
  const Slot* operator->() const { return &*slot_; }
  // Null if there is none.
  const float* read(const Frame& f, int64_t image) const {
    return slot_ ? f.read(*slot_) + image * slot_->image : nullptr;
  }

 private:
  std::optional<Slot> slot_;
};

// A step that is one function of its frame.
template <class Body>
class BodyStep final : public Step {
 public:
  explicit BodyStep(Body body) : body_(std::move(body)) {}
  void run(const Frame& frame) const override { body_(frame); }

 private:
  Body body_;
};

// Calls `body(image, batch)` for the whole batch, or image by image where one of `slots` is a part.
template <class Body>
void over_images(const Frame& frame, std::initializer_list<const Slot*> slots, const Body& body) {
  bool whole = true;
  for (const Slot* slot : slots) whole = whole && slot->image == slot->floats;
  if (whole) return body(0, frame.batch);
  for (int64_t image = 0; image < frame.batch; ++image) body(image, 1);
}

template <class Body>
std::unique_ptr<Step> step_of(Body body) {
  return std::make_unique<BodyStep<Body>>(std::move(body));
}

}  // namespace openwork
