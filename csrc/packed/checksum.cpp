#include "checksum.h"

#include <cstring>

namespace openwork {

namespace {

constexpr uint64_t prime1 = 0x9E3779B185EBCA87, prime2 = 0xC2B2AE3D27D4EB4F;
constexpr uint64_t prime3 = 0x165667B19E3779F9, prime4 = 0x85EBCA77C2B2AE63;
constexpr uint64_t prime5 = 0x27D4EB2F165667C5;

uint64_t rotate(uint64_t value, int bits) { return value << bits | value >> (64 - bits); }

template <class T>
uint64_t read(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

uint64_t round(uint64_t sum, uint64_t word) { return rotate(sum + word * prime2, 31) * prime1; }

uint64_t merge(uint64_t hash, uint64_t sum) { return (hash ^ round(0, sum)) * prime1 + prime4; }

}  // namespace

uint64_t checksum(const uint8_t* data, size_t size) {
  const uint8_t* const end = data + size;
  uint64_t hash = prime5;
  if (size >= 32) {
    uint64_t a = prime1 + prime2, b = prime2, c = 0, d = 0 - prime1;
    for (; end - data >= 32; data += 32) {
      a = round(a, read<uint64_t>(data)), b = round(b, read<uint64_t>(data + 8));
      c = round(c, read<uint64_t>(data + 16)), d = round(d, read<uint64_t>(data + 24));
    }
    hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    hash = merge(merge(merge(merge(hash, a), b), c), d);
  }
  hash += size;
  for (; end - data >= 8; data += 8)
    hash = rotate(hash ^ round(0, read<uint64_t>(data)), 27) * prime1 + prime4;
  for (; end - data >= 4; data += 4)
    hash = rotate(hash ^ read<uint32_t>(data) * prime1, 23) * prime2 + prime3;
  for (; data < end; ++data) hash = rotate(hash ^ *data * prime5, 11) * prime1;
  hash = (hash ^ hash >> 33) * prime2;
  hash = (hash ^ hash >> 29) * prime3;
  return hash ^ hash >> 32;
}

}  // namespace openwork
