// The sizes and arrays of one packing, each of them taken once and in order.
#pragma once
#include <cstddef>

#include "../checks.h"
#include "packing.h"

namespace openwork {

template <class T>
struct Span {
  const T* data;
  int64_t count;
};

// All members throw std::invalid_argument.
class PackingParts {
 public:
  explicit PackingParts(const Packing& packing) : packing_(packing) { check(packing.geometry); }

  const Geometry& geometry() const { return packing_.geometry; }

  int size(const char* name) {
    if (sizes_ == packing_.sizes.size()) fail("size `", name, "` is missing");
    const int64_t size = packing_.sizes[sizes_++];
    require_range(name, size, INT32_MIN, INT32_MAX);
    return static_cast<int>(size);
  }
  bool flag(const char* name) {
    const int value = size(name);
    require_range(name, value, 0, 1);
    return value != 0;
  }
  template <class T>
  Span<T> array(const char* name) {
    if (arrays_ == packing_.arrays.size()) fail("array `", name, "` is missing");
    const Numbers& numbers = packing_.arrays[arrays_++];
    if (numbers.type != number_of<T>()) fail("array `", name, "` has numbers of another type");
    return {static_cast<const T*>(numbers.data), numbers.count};
  }
  template <class T>
  const T* array(const char* name, int64_t count) {
    const Span<T> span = array<T>(name);
    require_count(name, span.count, count);
    return span.data;
  }
  void finish() const {
    if (sizes_ != packing_.sizes.size() || arrays_ != packing_.arrays.size())
      fail("a layer of kernel '", packing_.kernel, "' has sizes or arrays that it does not need");
  }

  static void require_count(const char* name, int64_t found, int64_t wanted) {
    if (found != wanted) fail("`", name, "` has ", found, " entries, but needs ", wanted);
  }

 private:
  const Packing& packing_;
  size_t sizes_ = 0, arrays_ = 0;
};

}  // namespace openwork
