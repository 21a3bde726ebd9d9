// f32-conv1x1-spmm, f32-conv-spmm: sparse matrix times pixels. The matrix has one column for each
// live (channel, tap); a tile's rows are gathered before they are multiplied.
#include <omp.h>

#include "pixels.h"
#include "product.h"
#include "table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

// One thread's part of the workspace.
struct Scratch {
  int64_t packed, partial, gather;  // floats of each

  explicit Scratch(const SpmmPlan& plan) {
    const int64_t tile = static_cast<int64_t>(plan.vectors) * lanes;
    packed = plan.lists.chunk * tile;
    partial = plan.lists.chunks > 1 ? plan.lists.rows * tile : 0;
    gather = round_up(Gather::floats(plan.geometry, plan.vectors), 16);
  }
  int64_t all() const { return packed + partial + gather; }
};

// Pixels [begin, end) of one share of the filters. `more`: this thread runs the next tile too.
template <int V, int G>
void run_tile(const SpmmPlan& plan, const Run& run, int64_t begin, int64_t end, const Share& share,
              bool more, float* memory) {
  const Lists& lists = plan.lists;
  const Geometry& geometry = plan.geometry;
  const int64_t in_map = in_map_of(run, geometry);
  const int64_t out_map = out_map_of(run, geometry);
  const PixelTile tile(geometry, begin, end);
  const PixelRun& start = tile.run[0];
  const int count = static_cast<int>(end - begin);
  const bool in_place = plan.in_place && tile.runs == 1 && count == V * lanes;
  const Scratch scratch(plan);
  float* packed = memory;
  float* partial = packed + scratch.packed;
  Gather gather(geometry, run.in_image, in_map, V, partial + scratch.partial);
  if (!in_place) gather.find(begin, end);
  // Whole tiles only.
  const bool later =
      activates_later(plan.epilogue.activation) && tile.runs == 1 && count == V * lanes;
  const Epilogue linear{plan.epilogue.bias, Activation::none};
  const EpilogueWriter writer(later ? linear : plan.epilogue, run);
  const bool fetch = more && fetches_output(geometry);
  float* output = run.output + start.image * run.out_image + start.pixel;
  int written[8], waiting = 0;  // rows without their activation
  const auto activate_written = [&] {
    for (int i = 0; i < waiting; ++i) silu_rows<V>(output + written[i] * out_map, 0, 1);
    waiting = 0;
  };

  const auto write = [&](int row, const vec(&sum)[V]) {
    const vec bias = writer.bias(row);
    vec biased[V];
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) biased[v] = sum[v] + bias;
    write_pixels<V>(writer, tile, run.out_image, row * out_map, biased, fetch);
    if (!later) return;
    written[waiting++] = row;
    if (waiting == 8) activate_written();
  };

  for (int chunk = 0; chunk < lists.chunks; ++chunk) {
    const int from = chunk * lists.chunk;
    const int to = smaller(from + lists.chunk, lists.inputs);
    const float* first = run.input + start.image * run.in_image + start.pixel + from * in_map;
    const float* x = packed;
    int64_t stride = V * lanes;
    if (in_place) {
      x = first;
      stride = in_map;
    } else {
      gather.read<V>(run.input, plan.channel + from, plan.tap + from, to - from, packed);
    }
    const Prefetch prefetch = plan.plain && tile.runs == 1 && more
                                  ? Prefetch{first + V * lanes, in_map, V * lanes, to - from,
                                             ceil_div(to - from, share.last - share.first)}
                                  : Prefetch{};
    product_chunk<V, G>(lists, chunk, lists.weight, x, stride, partial, share, write, prefetch);
  }
  activate_written();
}

void run(const SpmmPlan& plan, const Run& run) {
  const PixelTiling tiling(plan.geometry, plan.vectors, Share::most(plan.lists), run.batch,
                           run.threads);
  const int64_t scratch = Scratch(plan).all();
  const int64_t items = tiling.tiles * tiling.parts;
#pragma omp parallel for num_threads(run.threads) schedule(dynamic, 1) if (run.threads > 1)
  for (int64_t item = 0; item < items; ++item) {
    const int64_t tile = item / tiling.parts;
    const Share share(plan.lists, static_cast<int>(item % tiling.parts), tiling.parts);
    const int64_t begin = tiling.begin(tile);
    const int64_t end = tiling.begin(tile + 1);
    const int64_t stop = end * lanes < tiling.pixels ? end * lanes : tiling.pixels;
    const bool more = run.threads == 1 && item + 1 < items;
    float* own = run.workspace + omp_get_thread_num() * scratch;
    with_tile(static_cast<int>(end - begin), plan.lists.group, [&]<int V, int G>() {
      run_tile<V, G>(plan, run, begin * lanes, stop, share, more, own);
    });
  }
}

int64_t workspace(const SpmmPlan& plan, int, int threads) { return Scratch(plan).all() * threads; }

const char* refusal(const SpmmPlan& plan) {
  if (plan.vectors > most_vectors(plan.lists.group)) return "tile does not fit the registers";
  return nullptr;
}

}  // namespace

const Kernel<SpmmPlan> spmm{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
