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

// The same with `body(at, count, k)`: the bodies of four neighbours have different k, so that sums
// need not wait for each other.
template <class Body>
OPENWORK_INLINE void over_fours(int64_t total, const Body& body) {
  int64_t at = 0;
  for (; at + 4 * lanes <= total; at += 4 * lanes) {
    body(at, lanes, 0);
    body(at + lanes, lanes, 1);
    body(at + 2 * lanes, lanes, 2);
    body(at + 3 * lanes, lanes, 3);
  }
  for (; at + lanes <= total; at += lanes) body(at, lanes, 0);
  if (at < total) body(at, static_cast<int>(total - at), 1);
}

// Of all lanes of four sums.
OPENWORK_INLINE double sum_of(const vec (&sums)[4]) {
  float each[lanes];
  store(each, (sums[0] + sums[1]) + (sums[2] + sums[3]));
  double total = 0;
  for (int lane = 0; lane < lanes; ++lane) total += static_cast<double>(each[lane]);
  return total;
}

constexpr int64_t piece = 16384;  // floats that one thread takes at a time

}  // namespace openwork::OPENWORK_NAMESPACE
