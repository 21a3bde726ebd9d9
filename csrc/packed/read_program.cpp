#include "read_program.h"

#include <cstring>
#include <string_view>
#include <utility>

#include "../isa.h"
#include "checksum.h"
#include "cursor.h"
#include "read_step.h"

namespace openwork {

namespace {

constexpr std::string_view magic = "openwork packed\n";
// Raised with every change of this layout, of a packed format or of a kernel's name and sizes.
constexpr uint32_t packed_format = 1;
// Magic; format and zeros, 4 bytes each; then 8 bytes each: size, checksum of what lies behind it,
// end of the front.
constexpr size_t checked_from = 40, front_from = 48;
constexpr int most_axes_shown = 64;

template <class T>
T number_at(const Bytes& bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data + at, sizeof value);
  return value;
}

// The end of the front, once the bytes are known to be what was written.
size_t checked_front(const Bytes& bytes) {
  if (bytes.size < front_from || std::memcmp(bytes.data, magic.data(), magic.size()) != 0)
    fail("it is not a packed network");
  const uint32_t format = number_at<uint32_t>(bytes, 16);
  if (format != packed_format)
    fail("it has packed format ", int64_t{format}, ", but this version reads ",
         int64_t{packed_format}, "; pack it again from the file that it was made of");
  const uint64_t written = number_at<uint64_t>(bytes, 24);
  if (bytes.size < written) fail("it is truncated");
  if (bytes.size > written) fail("bytes were appended to it");
  const uint64_t found = checksum(bytes.data + checked_from, bytes.size - checked_from);
  if (number_at<uint32_t>(bytes, 20) != 0 || number_at<uint64_t>(bytes, 32) != found)
    fail("it has been changed or damaged: its checksum does not match");
  const uint64_t end = number_at<uint64_t>(bytes, 40);
  if (end < front_from || end > bytes.size) fail("its front is incomplete");
  return static_cast<size_t>(end);
}

void require_usable(const std::string& isa, std::string_view version) {
  if (is_usable(isa)) return;
  fail("it was packed by openwork ", std::string(version), " for the instruction set '", isa,
       "', and this processor and build run ", usable_isas_text(), "; pack it for one of these");
}

std::vector<TensorInfo> read_tensors(Cursor& front) {
  std::vector<TensorInfo> tensors;
  for (uint32_t left = front.count(5); left > 0; --left) {
    TensorInfo tensor{std::string(front.text()), {}};
    const int axes = front.number<uint8_t>();
    require_range("axes", axes, 0, most_axes_shown);
    for (int axis = 0; axis < axes; ++axis) {
      tensor.shape.push_back(front.number<int64_t>());
      require_range("shape", tensor.shape.back(), 1, most_floats);
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

void read_slots(Cursor& front, Program& program) {
  for (uint32_t left = front.count(25); left > 0; --left) {
    const uint8_t kind = front.number<uint8_t>();
    const int64_t at = front.number<int64_t>(), first = front.number<int64_t>();
    const int64_t floats = front.number<int64_t>();
    // 3: a part of slot `at`.
    if (kind > 3) fail("a slot is of an unknown kind");
    if (kind == 3) {
      require_range("slot", at, 0, INT32_MAX);
      program.add_part(static_cast<int>(at), first, floats);
    } else {
      program.add_slot(static_cast<Slot::Kind>(kind), at, floats);
    }
  }
}

void require_floats(const std::vector<TensorInfo>& tensors, int count, const Program& program,
                    int64_t (Program::*floats)(int) const) {
  if (tensors.size() != static_cast<size_t>(count))
    fail("it does not describe each input and output");
  for (int i = 0; i < count; ++i) {
    int64_t product = 1;
    for (const int64_t size : tensors[i].shape) {
      if (size > most_floats / product) fail("a shape is too large");
      product *= size;
    }
    if (product != (program.*floats)(i)) fail("a shape does not fit what the program reads");
  }
}

}  // namespace

PackedProgram read_program(const Bytes& bytes) {
  const size_t end = checked_front(bytes);
  Cursor front(bytes, front_from, end);
  PackedProgram packed{};
  packed.isa = front.text();
  require_usable(packed.isa, front.text());
  packed.inputs = read_tensors(front);
  packed.outputs = read_tensors(front);
  packed.least_batch = front.number<int64_t>(), packed.most_batch = front.number<int64_t>();
  require_range("least batch", packed.least_batch, 1, most_batch);
  require_range("most batch", packed.most_batch, packed.least_batch, most_batch);
  read_slots(front, packed.program);
  for (uint32_t left = front.count(16); left > 0; --left)
    packed.program.add_step(read_step(front, packed.isa, packed.program, bytes.keep));
  packed.notes = front.text();
  front.finish();
  require_floats(packed.inputs, packed.program.inputs(), packed.program, &Program::input_floats);
  require_floats(packed.outputs, packed.program.outputs(), packed.program, &Program::output_floats);
  return packed;
}

}  // namespace openwork
