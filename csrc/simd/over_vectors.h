// Arrays taken vector by vector.
#pragma once
#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

// Calls `body(at, count)` for pieces of `total` floats; count is `lanes` but for the last.
template <class Body>
OPENWORK_INLINE void over_vectors(int64_t total, const Body& body) {
  int64_t at = 0;
  for (; at + lanes <= total; at += lanes) body(at, lanes);
  if (at < total) body(at, static_cast<int>(total - at));
}

constexpr int64_t piece = 16384;  // floats that one thread takes at a time

}  // namespace openwork::OPENWORK_NAMESPACE
