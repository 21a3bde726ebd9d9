// f32-conv3x3-winograd2 and -winograd4: F(MxM, 3x3) as one sparse product per transformed position.
//
// Vectors of tiles are taken in blocks. Per block: transform all input channels, multiply,
// transform all filters' results back.
#include "epilogue.h"
#include "product.h"
#include "table.h"
#include "winograd_blocks.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

Slabs slabs(const WinogradPlan& plan, int vectors) {
  const int side = plan.output + 2;
  return Slabs(side * side, plan.lists.inputs, plan.lists.rows, vectors);
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
  const Slabs layout = slabs(plan, vectors);
  float* in_slabs = run.workspace;
  float* out_slabs = run.workspace + positions * layout.in_slab;
  const EpilogueWriter writer(plan.epilogue, run);
  Piece piece[most_vectors(1)][M];
  for (int v = 0; v < vectors; ++v)
    for (int k = 0; k < M; ++k) piece[v][k] = tiling.piece(begin + v, k);

#pragma omp for schedule(static)
  for (int channel = 0; channel < lists.inputs; ++channel)
    for (int v = 0; v < vectors; ++v)
      transform_channel<M>(
          g, piece[v], tiling.has_next,
          run.input + static_cast<int64_t>(channel) * g.height * g.width, layout.in_slab,
          in_slabs + (static_cast<int64_t>(channel) * vectors + v) * lanes,
          run.batch > 1 ? channels_ahead * static_cast<int64_t>(g.height) * g.width : 0);

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

int64_t workspace(const WinogradPlan& plan, int, int) { return slabs(plan, plan.vectors).all; }

const char* refusal(const WinogradPlan& plan) {
  if (plan.vectors > most_vectors(plan.lists.group)) return "tile does not fit the registers";
  return nullptr;
}

}  // namespace

const Kernel<WinogradPlan> winograd{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
