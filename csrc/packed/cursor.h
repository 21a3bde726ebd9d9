// Reads the front of a packed file, never beyond its end. Numbers are little-endian.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "../checks.h"
#include "bytes.h"
#include "packing.h"

namespace openwork {

static_assert(std::endian::native == std::endian::little);

class Cursor {
 public:
  // Numbers from `at` on, up to `end`; arrays anywhere in `bytes` from `end` on.
  Cursor(const Bytes& bytes, size_t at, size_t end) : bytes_(bytes), at_(at), end_(end) {}

  template <class T>
  T number() {
    require(sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  // How many items of at least `bytes` each follow: never more than there is room for.
  uint32_t count(size_t bytes) {
    const uint32_t count = number<uint32_t>();
    if (count > (end_ - at_) / bytes) fail("it names ", int64_t{count}, " items beyond its front");
    return count;
  }
  std::string_view text() {
    const uint32_t length = count(1);
    const auto* from = reinterpret_cast<const char*>(bytes_.data) + at_;
    at_ += length;
    return {from, length};
  }
  // Where an array lies in the file.
  Numbers array() {
    const uint8_t type = number<uint8_t>();
    const uint64_t first = number<uint64_t>(), count = number<uint64_t>();
    if (type > static_cast<uint8_t>(Number::i8)) fail("an array has an unknown type");
    const Number kind = static_cast<Number>(type);
    const uint64_t size = bytes_.size, each = static_cast<uint64_t>(bytes_of(kind));
    if (first % 64 || first < end_ || first > size || count > (size - first) / each)
      fail("an array lies outside the file");
    return {kind, bytes_.data + first, static_cast<int64_t>(count)};
  }
  void finish() const {
    if (at_ != end_) fail("its front is longer than what it says");
  }

 private:
  void require(size_t bytes) const {
    if (bytes > end_ - at_) fail("its front is incomplete");
  }

  const Bytes& bytes_;
  size_t at_, end_;
};

}  // namespace openwork
