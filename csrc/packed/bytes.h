// The bytes of a packed file, from a multiple of 64 on.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

namespace openwork {

struct Bytes {
  const uint8_t* data;
  size_t size;
  std::shared_ptr<const void> keep;  // unmaps or frees them
};

// Mapped, so that processes share them. The file must not change while they live; one that takes
// its place under its name does no harm. Throws std::invalid_argument.
Bytes map_file(const char* path);

Bytes copy_of(const void* data, size_t size);

}  // namespace openwork
