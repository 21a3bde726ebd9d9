// The core of the sparse matrix product: the live inputs of one group of filters.
#pragma once
#include "../plans.h"
#include "vec.h"

namespace openwork::OPENWORK_NAMESPACE {

// Most vectors in a tile: accumulators must leave room for the held input and one weight.
constexpr int most_vectors(int group) {
  if (group > 4) return 0;
  if (registers == 32) return group == 4 ? 5 : 8;
  // Where multiply-adds are two instructions, a product takes one more register.
  if (lanes == 8) return group == 4 ? 3 : group == 2 ? 5 : 8;
  return group == 4 ? 2 : group == 2 ? 4 : 6;
}

template <class Weight>
struct Cursor {
  const uint16_t* index;
  const Weight* weight;
};

// A multiply-add takes 4 cycles, so few accumulators would wait for each other: several inputs are
// summed separately.
constexpr int partial_sums(int vectors) { return vectors == 1 ? 4 : vectors == 2 ? 2 : 1; }

template <int V>
OPENWORK_INLINE void walk_single(vec (&sum)[V], const float* x, int64_t stride, Cursor<float>& at,
                                 int count) {
  constexpr int parts = partial_sums(V);
  const uint16_t* index = at.index;
  const float* weight = at.weight;
  int i = 0;
  if constexpr (parts > 1) {
    vec more[parts - 1][V] = {};
    for (; i + parts <= count; i += parts) {
#pragma GCC unroll 4
      for (int part = 0; part < parts; ++part) {
        const float* in = x + index[i + part] * stride;
        const vec w = broadcast(weight[i + part]);
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) {
          vec& into = part == 0 ? sum[v] : more[part - 1][v];
          into += w * load(in + v * lanes);
        }
      }
    }
    for (int part = 0; part + 1 < parts; ++part)
      for (int v = 0; v < V; ++v) sum[v] += more[part][v];
  }
  for (; i < count; ++i) {
    const float* in = x + index[i] * stride;
    const vec w = broadcast(weight[i]);
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) sum[v] += w * load(in + v * lanes);
  }
  at.index += count;
  at.weight += count;
}

// The inputs read by exactly the filters in `Mask`: each is loaded once and feeds them all.
template <int V, int G, int Mask>
OPENWORK_INLINE void walk_shared(vec (&sum)[G][V], const float* x, int64_t stride,
                                 Cursor<float>& at, int count) {
  const uint16_t* index = at.index;
  const float* weight = at.weight;
  for (const uint16_t* end = index + count; index != end; ++index) {
    const float* in = x + *index * stride;
    vec held[V];
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) held[v] = load(in + v * lanes);
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      if (!(Mask >> g & 1)) continue;
      const vec w = broadcast(*weight++);
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) sum[g][v] += w * held[v];
    }
  }
  at.index = index;
  at.weight = weight;
}

template <int V, int G, int Mask>
OPENWORK_INLINE void walk_masks(vec (&sum)[G][V], const float* x, int64_t stride, Cursor<float>& at,
                                const uint16_t* count) {
  walk_shared<V, G, Mask>(sum, x, stride, at, count[Mask - 1]);
  if constexpr (Mask + 1 < 1 << G) walk_masks<V, G, Mask + 1>(sum, x, stride, at, count);
}

template <int V, int G>
OPENWORK_INLINE void walk(vec (&sum)[G][V], const float* x, int64_t stride, Cursor<float>& at,
                          const uint16_t* count) {
  if constexpr (G == 1)
    walk_single<V>(sum[0], x, stride, at, count[0]);
  else
    walk_masks<V, G, 1>(sum, x, stride, at, count);
}

// The filter groups of one thread: whole blocks.
struct Share {
  int first, last;

  template <class Matrix>
  Share(const Matrix& lists, int part, int parts)
      : first(begin(lists, part, parts)), last(begin(lists, part + 1, parts)) {}

  template <class Matrix>
  OPENWORK_INLINE int most(const Matrix& lists) {
    return ceil_div(lists.rows, filter_block);
  }

 private:
  template <class Matrix>
  OPENWORK_INLINE int begin(const Matrix& lists, int part, int parts) {
    const int64_t block = static_cast<int64_t>(most(lists)) * part / parts;
    return smaller(static_cast<int>(block) * (filter_block / lists.group), lists.groups);
  }
};

// Fetches what will be read after this chunk into the L2 cache, a few channels per filter group:
// the multiply-adds hide the latency.
struct Prefetch {
  const float* from = nullptr;
  int64_t stride = 0;
  int floats = 0;     // per channel
  int channels = 0;   // still to fetch
  int per_group = 0;  // channels

  OPENWORK_INLINE_MEMBER void fetch() {
    for (int left = smaller(per_group, channels); left > 0; --left, --channels, from += stride)
      for (int i = 0; i < floats; i += 16) __builtin_prefetch(from + i, 0, 2);
  }
};

// One chunk of inputs for the filter groups of `share`: rows of `partial`, V vectors each, are
// started by chunk 0 and added to by the others; the last chunk hands its sums to `finish` instead.
template <int V, int G, class Weight, class Number, class Last>
OPENWORK_INLINE void product_chunk(const SparseLists<Weight>& lists, int chunk,
                                   const Weight* weight, const Number* x, int64_t stride,
                                   float* partial, const Share& share, const Last& finish,
                                   Prefetch prefetch = {}) {
  constexpr int masks = loops(G);
  const bool final = chunk + 1 == lists.chunks;
  int64_t slot = static_cast<int64_t>(chunk) * lists.groups + share.first;
  if (share.first >= share.last) return;
  // Groups lie one after another: each leaves the cursor at the start of the next.
  Cursor<Weight> at{lists.index + lists.entry_start[slot], weight + lists.weight_start[slot]};
  for (int group = share.first; group < share.last; ++group, ++slot) {
    int64_t row[G];
    vec sum[G][V];
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) {
      row[g] = lists.row[slot * G + g];
      const float* from = partial + row[g] * (V * lanes);
      const bool started = chunk > 0 && row[g] >= 0;
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) sum[g][v] = started ? load(from + v * lanes) : vec{};
    }
    prefetch.fetch();
    walk<V, G>(sum, x, stride, at, lists.count + slot * masks);
#pragma GCC unroll 8
    for (int g = 0; g < G; ++g) {
      if (row[g] < 0) continue;
      if (final) {
        finish(static_cast<int>(row[g]), sum[g]);
      } else {
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v) store(partial + (row[g] * V + v) * lanes, sum[g][v]);
      }
    }
  }
}

// Positions of a Winograd tile that are processed together where a block is one vector: their
// inputs have the same places, and several sums wait less for each other than one.
constexpr int positions_together(int group) { return registers == 16 && group == 4 ? 2 : 4; }

// One vector at each of P positions: position p reads at x + p * in_slab, weighs with
// weight + p * live and writes to y + p * out_slab.
template <int P, int G>
struct Positions {
  const float* x;
  int64_t in_slab;
  int64_t live;
  float* y;
  int64_t out_slab;

  // The inputs read by exactly the filters in `Mask`.
  template <int Mask>
  OPENWORK_INLINE_MEMBER void walk_shared(vec (&sum)[G][P], const float* from, Cursor<float>& at,
                                          int count) const {
    const uint16_t* index = at.index;
    const float* weight = at.weight;
    for (const uint16_t* end = index + count; index != end; ++index) {
      const float* in = from + *index * lanes;
      vec held[P];
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) held[p] = load(in + p * in_slab);
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        if (!(Mask >> g & 1)) continue;
#pragma GCC unroll 4
        for (int p = 0; p < P; ++p) sum[g][p] += broadcast(weight[p * live]) * held[p];
        ++weight;
      }
    }
    at.index = index;
    at.weight = weight;
  }

  template <int Mask>
  OPENWORK_INLINE_MEMBER void walk(vec (&sum)[G][P], const float* from, Cursor<float>& at,
                                   const uint16_t* count) const {
    walk_shared<Mask>(sum, from, at, count[Mask - 1]);
    if constexpr (Mask + 1 < 1 << G) walk<Mask + 1>(sum, from, at, count);
  }

  void multiply(const Lists& lists, const float* weight, const Share& share) const {
    constexpr int masks = (1 << G) - 1;
    if (share.first >= share.last) return;
    for (int chunk = 0; chunk < lists.chunks; ++chunk) {
      const float* from = x + static_cast<int64_t>(chunk) * lists.chunk * lanes;
      int64_t slot = static_cast<int64_t>(chunk) * lists.groups + share.first;
      Cursor<float> at{lists.index + lists.entry_start[slot], weight + lists.weight_start[slot]};
      for (int group = share.first; group < share.last; ++group, ++slot) {
        const int32_t* row = lists.row + slot * G;
        vec sum[G][P];
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g)
#pragma GCC unroll 4
          for (int p = 0; p < P; ++p)
            sum[g][p] = chunk > 0 && row[g] >= 0
                            ? load(y + p * out_slab + static_cast<int64_t>(row[g]) * lanes)
                            : vec{};
        walk<1>(sum, from, at, lists.count + slot * masks);
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) {
          if (row[g] < 0) continue;
#pragma GCC unroll 4
          for (int p = 0; p < P; ++p)
            store(y + p * out_slab + static_cast<int64_t>(row[g]) * lanes, sum[g][p]);
        }
      }
    }
  }
};

// Calls `body.template operator()<V, G>()` for the tile at hand; `Most`: vectors in a tile of a
// group.
template <int (*Most)(int), int V = 1, class Body>
OPENWORK_INLINE void with_tile(int vectors, int group, const Body& body) {
  if (vectors == V) {
    if (group == 1) return body.template operator()<V, 1>();
    if constexpr (V <= Most(2))
      if (group == 2) return body.template operator()<V, 2>();
    if constexpr (V <= Most(4))
      if (group == 4) return body.template operator()<V, 4>();
    if constexpr (V <= Most(8))
      if (group == 8) return body.template operator()<V, 8>();
    return;
  }
  if constexpr (V < Most(1)) with_tile<Most, V + 1>(vectors, group, body);
}

}  // namespace openwork::OPENWORK_NAMESPACE
