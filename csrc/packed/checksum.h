// XXH64, xxHash with 64 bits and seed 0: finds damage as fast as memory is read. Files made to
// mislead have a right checksum too; against those every size and index is checked.
#pragma once
#include <cstddef>
#include <cstdint>

namespace openwork {

uint64_t checksum(const uint8_t* data, size_t size);

}  // namespace openwork
