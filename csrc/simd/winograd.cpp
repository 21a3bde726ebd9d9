// f32-conv3x3-winograd2 and -winograd4: F(MxM, 3x3) as one sparse product per transformed position.
//
// Vectors of tiles are taken in blocks. Per block: transform all input channels, multiply,
// transform all filters' results back.
#include "product.h"
#include "table.h"
#include "winograd_images.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

Slabs slabs(const WinogradPlan& plan, int vectors) {
  const int side = plan.output + 2;
  return Slabs(side * side, plan.lists.inputs, plan.lists.rows, vectors);
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

template <class Tiles>
void run_block(const WinogradPlan& plan, const Run& run, const Tiles& tiles, int64_t begin,
               int vectors) {
  constexpr int positions = Tiles::N * Tiles::N;
  const Lists& lists = plan.lists;
  const int64_t map = static_cast<int64_t>(plan.geometry.height) * plan.geometry.width;
  const Slabs layout = slabs(plan, vectors);
  float* in_slabs = run.workspace;
  float* out_slabs = run.workspace + positions * layout.in_slab;
  const EpilogueWriter writer(plan.epilogue, run);
  typename Tiles::template Block<most_vectors(1)> block(tiles, begin, vectors);

#pragma omp for schedule(static)
  for (int channel = 0; channel < lists.inputs; ++channel)
    block.transform_input(run.input + channel * map, run.batch > 1 ? channels_ahead * map : 0,
                          layout.in_slab,
                          in_slabs + static_cast<int64_t>(channel) * vectors * lanes);

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
    block.write_output(out_slabs + static_cast<int64_t>(row) * vectors * lanes, layout.out_slab,
                       row, writer);
}

template <class Tiles>
void run_tiles(const WinogradPlan& plan, const Run& run, const Tiles& tiles) {
  const Blocks blocks(tiles.vectors(), plan.vectors);
#pragma omp parallel num_threads(run.threads) if (run.threads > 1)
  for (int64_t block = 0; block < blocks.count; ++block) {
    const int64_t begin = blocks.begin(block);
    run_block(plan, run, tiles, begin, static_cast<int>(blocks.begin(block + 1) - begin));
  }
}

void run(const WinogradPlan& plan, const Run& run) {
  const Images images{run.in_image, run.out_image, run.batch};
  const auto body = [&](const auto& tiles) { run_tiles(plan, run, tiles); };
  if (plan.output == 2)
    with_tiles<2>(plan.geometry, images, body);
  else
    with_tiles<4>(plan.geometry, images, body);
}

int64_t workspace(const WinogradPlan& plan, int, int) { return slabs(plan, plan.vectors).all; }

const char* refusal(const WinogradPlan& plan) {
  if (plan.vectors > most_vectors(plan.lists.group)) return "tile does not fit the registers";
  return nullptr;
}

}  // namespace

const Kernel<WinogradPlan> winograd{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
