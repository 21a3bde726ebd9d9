// One-dimensional Winograd transforms for 3 taps: F(2,3) on the points 0, 1, -1 and infinity,
// F(4,3) on 0, 1, -1, 2, -2 and infinity. The filters' side is done when packing.
#pragma once
#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

OPENWORK_INLINE void transform_input(const vec (&d)[4], vec (&u)[4]) {
  u[0] = d[0] - d[2];
  u[1] = d[1] + d[2];
  u[2] = d[2] - d[1];
  u[3] = d[1] - d[3];
}

OPENWORK_INLINE void transform_input(const vec (&d)[6], vec (&u)[6]) {
  const vec a = d[4] - 4.f * d[2], b = d[3] - 4.f * d[1];
  const vec c = d[4] - d[2], e = d[3] - d[1];
  u[0] = (4.f * d[0] + d[4]) - 5.f * d[2];
  u[1] = a + b;
  u[2] = a - b;
  u[3] = c + 2.f * e;
  u[4] = c - 2.f * e;
  u[5] = (4.f * d[1] + d[5]) - 5.f * d[3];
}

OPENWORK_INLINE void transform_output(const vec (&m)[4], vec (&y)[2]) {
  y[0] = m[0] + m[1] + m[2];
  y[1] = m[1] - m[2] - m[3];
}

OPENWORK_INLINE void transform_output(const vec (&m)[6], vec (&y)[4]) {
  const vec a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
  y[0] = m[0] + a + c;
  y[1] = b + 2.f * d;
  y[2] = a + 4.f * c;
  y[3] = b + 8.f * d + m[5];
}

}  // namespace openwork::OPENWORK_NAMESPACE
