// f32-conv3x3-winograd2 and -winograd4: F(MxM, 3x3) as one sparse product per transformed position.
//
// Vectors of tiles are taken in blocks. Per block: transform all input channels, multiply,
// transform all filters' results back.
#include "epilogue.h"
#include "product.h"
#include "shuffle.h"
#include "table.h"
#include "winograd_tiling.h"
#include "winograd_transform.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

// Blocks differ by at most one vector, so that none is nearly empty.
struct Blocks {
  int64_t vectors, count;

  Blocks(int64_t vectors, int most) : vectors(vectors), count((vectors + most - 1) / most) {}
  int64_t begin(int64_t block) const { return vectors * block / count; }
};

struct Layout {
  int64_t block;  // floats in one row of a slab: tiles of one block
  int64_t in_slab, out_slab;
  int64_t all;

  Layout(const WinogradPlan& plan, int vectors) {
    const int positions = (plan.output + 2) * (plan.output + 2);
    block = static_cast<int64_t>(vectors) * lanes;
    in_slab = slab(plan.lists.inputs);
    out_slab = slab(plan.lists.rows);
    all = positions * (in_slab + out_slab);
  }

 private:
  // All positions of one channel are written in turn: a slab that is a multiple of the L1 cache's
  // way size would put them into the same few sets.
  int64_t slab(int channels) const {
    const int64_t line = 16, sets = 64;
    const int64_t lines = round_up(channels * block, line) / line;
    const int64_t wanted = round_up(block, line) / line;
    return (lines + ((wanted - lines) % sets + sets) % sets) * line;
  }
};

// One channel of one vector of tiles. Vertically on vectors of pixels first, then split into phases
// (vectors of every M-th pixel), then horizontally on vectors of tiles.
template <int M>
OPENWORK_INLINE void transform_channel(const Geometry& g, const Piece (&piece)[M], ivec has_next,
                                       const float* channel, int64_t slab, float* to) {
  constexpr int N = M + 2;
  vec half[N][M];
#pragma GCC unroll 4
  for (int k = 0; k < M; ++k) {
    const Piece& p = piece[k];
    const float* from = channel + p.input;
    vec d[N], u[N];
    if (p.y >= 0 && p.y + N <= g.height) {
#pragma GCC unroll 6
      for (int i = 0; i < N; ++i)
        d[i] = load_lanes(from + static_cast<int64_t>(i) * g.width, p.first, p.last);
    } else {
#pragma GCC unroll 6
      for (int i = 0; i < N; ++i)
        d[i] = p.y + i >= 0 && p.y + i < g.height
                   ? load_lanes(from + static_cast<int64_t>(i) * g.width, p.first, p.last)
                   : vec{};
    }
    transform_input(d, u);
#pragma GCC unroll 6
    for (int i = 0; i < N; ++i) half[i][k] = u[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < N; ++i) {
    split<M>(half[i]);
    vec d[N], u[N];
#pragma GCC unroll 4
    for (int j = 0; j < M; ++j) d[j] = half[i][j];
    d[M] = (vec)((ivec)next_lane(d[0], Lanes{}) & has_next);
    d[M + 1] = (vec)((ivec)next_lane(d[1], Lanes{}) & has_next);
    transform_input(d, u);
#pragma GCC unroll 6
    for (int j = 0; j < N; ++j) store(to + (i * N + j) * slab, u[j]);
  }
}

// One filter of one vector of tiles, back to pixels.
template <int M>
OPENWORK_INLINE void transform_filter(const Geometry& g, const Piece (&piece)[M],
                                      const float* products, int64_t slab, int row,
                                      const EpilogueWriter& writer) {
  constexpr int N = M + 2;
  vec half[N][M];
#pragma GCC unroll 6
  for (int i = 0; i < N; ++i) {
    vec m[N];
#pragma GCC unroll 6
    for (int j = 0; j < N; ++j) m[j] = load(products + (i * N + j) * slab);
    transform_output(m, half[i]);
  }
  const vec bias = writer.bias(row);
  vec y[M][M];
#pragma GCC unroll 4
  for (int j = 0; j < M; ++j) {
    vec m[N], column[M];
#pragma GCC unroll 6
    for (int i = 0; i < N; ++i) m[i] = half[i][j];
    transform_output(m, column);
#pragma GCC unroll 4
    for (int r = 0; r < M; ++r) y[r][j] = column[r] + bias;
  }
  const int64_t map = static_cast<int64_t>(g.out_height) * g.out_width;
#pragma GCC unroll 4
  for (int r = 0; r < M; ++r) {
    join<M>(y[r]);
#pragma GCC unroll 4
    for (int k = 0; k < M; ++k)
      if (r < piece[k].rows)
        writer.write_tail(y[r][k],
                          piece[k].output + row * map + static_cast<int64_t>(r) * g.out_width,
                          piece[k].count);
  }
}

// One share of the filters at one position.
template <int V, int G>
void multiply(const Lists& lists, int position, const float* x, float* y, const Share& share) {
  const auto write = [&](int row, const vec(&sum)[V]) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) store(y + (static_cast<int64_t>(row) * V + v) * lanes, sum[v]);
  };
  for (int chunk = 0; chunk < lists.chunks; ++chunk)
    product_chunk<V, G>(lists, chunk, lists.weight + position * lists.live,
                        x + static_cast<int64_t>(chunk) * lists.chunk * V * lanes, V * lanes, y,
                        share, write);
}

template <int M>
void run_block(const WinogradPlan& plan, const Run& run, const Tiling<M>& tiling, int64_t begin,
               int vectors) {
  constexpr int positions = (M + 2) * (M + 2);
  const Lists& lists = plan.lists;
  const Geometry& g = plan.geometry;
  const Layout layout(plan, vectors);
  float* in_slabs = run.workspace;
  float* out_slabs = run.workspace + positions * layout.in_slab;
  const EpilogueWriter writer(plan.epilogue, run);
  Piece piece[most_vectors(1)][M];
  for (int v = 0; v < vectors; ++v)
    for (int k = 0; k < M; ++k) piece[v][k] = tiling.piece(begin + v, k);

#pragma omp for schedule(static)
  for (int channel = 0; channel < lists.inputs; ++channel)
    for (int v = 0; v < vectors; ++v)
      transform_channel<M>(g, piece[v], tiling.has_next,
                           run.input + static_cast<int64_t>(channel) * g.height * g.width,
                           layout.in_slab,
                           in_slabs + (static_cast<int64_t>(channel) * vectors + v) * lanes);

  const int together = vectors == 1 ? positions_together(lists.group) : 1;
  const int walks = positions / together;
  const int parts = smaller(ceil_div(run.threads * 4, walks), Share::most(lists));
#pragma omp for schedule(dynamic, 1)
  for (int item = 0; item < walks * parts; ++item) {
    const int position = item / parts * together;
    const Share share(lists, item % parts, parts);
    const float* x = in_slabs + position * layout.in_slab;
    float* y = out_slabs + position * layout.out_slab;
    with_tile(vectors, lists.group, [&]<int V, int G>() {
      if constexpr (V == 1)
        Positions<positions_together(G), G>{x, layout.in_slab, lists.live, y, layout.out_slab}
            .multiply(lists, lists.weight + position * lists.live, share);
      else
        multiply<V, G>(lists, position, x, y, share);
    });
  }

#pragma omp for schedule(static)
  for (int row = 0; row < lists.rows; ++row)
    for (int v = 0; v < vectors; ++v)
      transform_filter<M>(g, piece[v],
                          out_slabs + (static_cast<int64_t>(row) * vectors + v) * lanes,
                          layout.out_slab, row, writer);
}

template <int M>
void run_all(const WinogradPlan& plan, const Run& run) {
  const Tiling<M> tiling(plan.geometry, run);
  const Blocks blocks(tiling.vectors, plan.vectors);
#pragma omp parallel num_threads(run.threads) if (run.threads > 1)
  for (int64_t block = 0; block < blocks.count; ++block) {
    const int64_t begin = blocks.begin(block);
    run_block<M>(plan, run, tiling, begin, static_cast<int>(blocks.begin(block + 1) - begin));
  }
}

void run(const WinogradPlan& plan, const Run& run) {
  if (plan.output == 2)
    run_all<2>(plan, run);
  else
    run_all<4>(plan, run);
}

int64_t workspace(const WinogradPlan& plan, int, int) { return Layout(plan, plan.vectors).all; }

const char* refusal(const WinogradPlan& plan) {
  if (plan.vectors > most_vectors(plan.lists.group)) return "tile does not fit the registers";
  return nullptr;
}

}  // namespace

const Kernel<WinogradPlan> winograd{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
