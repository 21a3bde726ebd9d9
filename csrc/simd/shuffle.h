// Splitting and joining of phases: vectors of every 2nd or 4th float.
#pragma once
#include <utility>

#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

using Lanes = std::make_integer_sequence<int, lanes>;

template <int... I>
OPENWORK_INLINE vec every_second(vec a, vec b, std::integer_sequence<int, I...>, int odd) {
  return odd ? __builtin_shufflevector(a, b, (2 * I + 1)...)
             : __builtin_shufflevector(a, b, (2 * I)...);
}

// The even lanes of a, then the odd ones of b: every second of 2 * lanes - 1 floats, where b begins
// with a's last.
template <int... I>
OPENWORK_INLINE vec every_second_to(vec a, vec b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (2 * I + (I >= lanes / 2))...);
}

// The same numbers as `every_second` in the order that takes the fewest instructions; `in_order`
// puts sums of such vectors in order.
OPENWORK_INLINE vec every_second_unordered(vec a, vec b, int odd) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  return odd ? __builtin_shufflevector(a, b, 1, 3, 9, 11, 5, 7, 13, 15)
             : __builtin_shufflevector(a, b, 0, 2, 8, 10, 4, 6, 12, 14);
#else
  return every_second(a, b, Lanes{}, odd);
#endif
}

// Its own inverse.
OPENWORK_INLINE vec in_order(vec a) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  return __builtin_shufflevector(a, a, 0, 1, 4, 5, 2, 3, 6, 7);
#else
  return a;
#endif
}

template <int... I>
OPENWORK_INLINE vec zip_low(vec a, vec b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (I / 2 + (I % 2) * lanes)...);
}

template <int... I>
OPENWORK_INLINE vec zip_high(vec a, vec b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (lanes / 2 + I / 2 + (I % 2) * lanes)...);
}

template <int... I>
OPENWORK_INLINE vec next_lane(vec a, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, a, ((I + 1) % lanes)...);
}

// P vectors of consecutive floats to P phases: lane t of phase j was float P * t + j.
template <int P>
OPENWORK_INLINE void split(vec (&x)[P]) {
  static_assert(P == 2 || P == 4);
  if constexpr (P == 2) {
    const vec even = every_second(x[0], x[1], Lanes{}, 0);
    x[1] = every_second(x[0], x[1], Lanes{}, 1);
    x[0] = even;
  } else {
    vec even[2] = {every_second(x[0], x[1], Lanes{}, 0), every_second(x[2], x[3], Lanes{}, 0)};
    vec odd[2] = {every_second(x[0], x[1], Lanes{}, 1), every_second(x[2], x[3], Lanes{}, 1)};
    split<2>(even);
    split<2>(odd);
    x[0] = even[0], x[1] = odd[0], x[2] = even[1], x[3] = odd[1];
  }
}

// The inverse of `split`.
template <int P>
OPENWORK_INLINE void join(vec (&x)[P]) {
  static_assert(P == 2 || P == 4);
  if constexpr (P == 2) {
    const vec low = zip_low(x[0], x[1], Lanes{});
    x[1] = zip_high(x[0], x[1], Lanes{});
    x[0] = low;
  } else {
    vec even[2] = {x[0], x[2]};
    vec odd[2] = {x[1], x[3]};
    join<2>(even);
    join<2>(odd);
    vec front[2] = {even[0], odd[0]};
    vec back[2] = {even[1], odd[1]};
    join<2>(front);
    join<2>(back);
    x[0] = front[0], x[1] = front[1], x[2] = back[0], x[3] = back[1];
  }
}

// Lanes whose number lacks bit D from a, the others from b's lanes D below.
template <int D, int... I>
OPENWORK_INLINE vec mix_low(vec a, vec b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, ((I & D) ? lanes + (I ^ D) : I)...);
}

// Lanes whose number has bit D from b, the others from a's lanes D above.
template <int D, int... I>
OPENWORK_INLINE vec mix_high(vec a, vec b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, ((I & D) ? lanes + I : (I ^ D))...);
}

// Lane i of vector j to lane j of vector i.
template <int D = lanes / 2>
OPENWORK_INLINE void transpose(vec (&x)[lanes]) {
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) {
    if (i & D) continue;
    const vec low = mix_low<D>(x[i], x[i + D], Lanes{});
    x[i + D] = mix_high<D>(x[i], x[i + D], Lanes{});
    x[i] = low;
  }
  if constexpr (D > 1) transpose<D / 2>(x);
}

}  // namespace openwork::OPENWORK_NAMESPACE
