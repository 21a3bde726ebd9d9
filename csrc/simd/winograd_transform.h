// One-dimensional Winograd transforms for 3 taps: F(2,3) on the points 0, 1, -1 and infinity,
// F(4,3) on 0, 1, -1, 2, -2 and infinity. Filters that do not change are transformed when packing.
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

// The filters' side: G g.
OPENWORK_INLINE void transform_filter(const vec (&g)[3], vec (&u)[4]) {
  const vec a = .5f * (g[0] + g[2]), b = .5f * g[1];
  u[0] = g[0];
  u[1] = a + b;
  u[2] = a - b;
  u[3] = g[2];
}

OPENWORK_INLINE void transform_filter(const vec (&g)[3], vec (&u)[6]) {
  const vec a = (-1.f / 6) * (g[0] + g[2]), b = (1.f / 6) * g[1];
  const vec c = (1.f / 24) * g[0] + (1.f / 6) * g[2], d = (1.f / 12) * g[1];
  u[0] = .25f * g[0];
  u[1] = a - b;
  u[2] = a + b;
  u[3] = c + d;
  u[4] = c - d;
  u[5] = g[2];
}

// Transposed: the gradient of outputs to the transformed domain, and that of transformed filters
// back to taps. With the input's transform between them they are F(3,4).
OPENWORK_INLINE void transform_gradient(const vec (&y)[4], vec (&u)[6]) {
  const vec a = y[0] + y[2], b = y[1] + y[3];
  const vec c = y[0] + 4.f * y[2], d = 2.f * y[1] + 8.f * y[3];
  u[0] = y[0];
  u[1] = a + b;
  u[2] = a - b;
  u[3] = c + d;
  u[4] = c - d;
  u[5] = y[3];
}

OPENWORK_INLINE void transform_sums(const vec (&s)[6], vec (&g)[3]) {
  const vec a = s[1] + s[2], b = s[2] - s[1], c = s[3] + s[4], d = s[3] - s[4];
  g[0] = .25f * s[0] - (1.f / 6) * a + (1.f / 24) * c;
  g[1] = (1.f / 6) * b + (1.f / 12) * d;
  g[2] = s[5] - (1.f / 6) * a + (1.f / 6) * c;
}

}  // namespace openwork::OPENWORK_NAMESPACE
