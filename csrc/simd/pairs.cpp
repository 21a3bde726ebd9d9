// bf16-conv1x1-spmm, bf16-conv-spmm: sparse matrix times pixels in bfloat16, two inputs at a time,
// with float32 sums. Columns are rounded when a tile is gathered; the two of an entry are
// interleaved beside the product, so that any two make one.
//
// What is added up in which order follows from the packed lists alone: results do not depend on
// tiles, threads or the instruction set.
#include "pair_vec.h"
#include "spmm_tiles.h"
#include "table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

// The entries whose pairs are read by exactly the filters in `Mask`.
template <int V, int G, int Mask>
OPENWORK_INLINE void walk_pairs(vec (&sum)[G][V], const uint16_t* x, Cursor<int32_t>& at,
                                int count) {
  constexpr int64_t stride = words_of(V);
  const uint16_t* index = at.index;
  const int32_t* weight = at.weight;
  for (const uint16_t* end = index + 2 * count; index != end; index += 2) {
    const uint16_t* one = x + index[0] * stride;
    const uint16_t* other = x + index[1] * stride;
    uvec held[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; v += 2) {
      const words a = load_words(one + v * lanes), b = load_words(other + v * lanes);
      held[v] = first_pairs(a, b);
      if (v + 1 < V) held[v + 1] = second_pairs(a, b);
    }
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) {
      if (!(Mask >> g & 1)) continue;
      const uvec w = broadcast_pair(*weight++);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) sum[g][v] = dot(sum[g][v], held[v], w);
    }
  }
  at.index = index;
  at.weight = weight;
}

template <int V, int G, int Mask>
OPENWORK_INLINE void walk_pair_masks(vec (&sum)[G][V], const uint16_t* x, Cursor<int32_t>& at,
                                     const uint16_t* count) {
  walk_pairs<V, G, Mask>(sum, x, at, count[Mask - 1]);
  if constexpr (Mask + 1 < 1 << G) walk_pair_masks<V, G, Mask + 1>(sum, x, at, count);
}

}  // namespace

// For product_chunk, which finds it by the type of `at`.
template <int V, int G>
OPENWORK_INLINE void walk(vec (&sum)[G][V], const uint16_t* x, int64_t, Cursor<int32_t>& at,
                          const uint16_t* count) {
  if constexpr (loops(G) == 1)
    walk_pairs<V, G, (1 << G) - 1>(sum, x, at, count[0]);
  else
    walk_pair_masks<V, G, 1>(sum, x, at, count);
}

namespace {

struct Pairs {
  using Plan = PairPlan;

  static constexpr int most_vectors(int group) { return most_pair_vectors(group); }

  // Column 0 is zero.
  static int64_t floats(const PairPlan& plan) {
    return (plan.lists.chunk + int64_t{1}) * words_of(plan.vectors) / 2;
  }

  template <int V>
  struct Columns {
    const PairPlan& plan;
    uint16_t* const x;
    static constexpr bool in_place = false;
    static constexpr int64_t stride = words_of(V);

    // Writes one column, a vector after the other.
    struct Words {
      uint16_t* to;
      vec before;

      OPENWORK_INLINE_MEMBER void put(int v, vec value) {
        if (v % 2 == 1)
          store_words(to + (v - 1) * lanes, joined(before, value));
        else if (v + 1 == V)
          store_words(to + v * lanes, joined(value, vec{}));
        else
          before = value;
      }
      OPENWORK_INLINE_MEMBER void next() { to += stride; }
    };

    Columns(const PairPlan& plan, float* packed, int64_t, bool)
        : plan(plan), x(reinterpret_cast<uint16_t*>(packed)) {
      for (int v = 0; v < V; v += 2) store_words(x + v * lanes, words{});
    }

    // A call for each chunk: every group size would have its own copy.
    __attribute__((noinline)) void read(const Gather& gather, const float* input, const float*,
                                        int from, int to) const {
      gather.read<V>(input, plan.channel + from, plan.tap + from, to - from, Words{x + stride, {}});
    }
  };
};

}  // namespace

const Kernel<PairPlan> pairs{spmm_run<Pairs>, spmm_workspace<Pairs>, spmm_refusal<Pairs>};

}  // namespace openwork::OPENWORK_NAMESPACE
