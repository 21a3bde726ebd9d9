// Sparse matrix times gathered pixels, tile by tile through all images. `Form` says what the
// columns of a tile hold:
//   Plan, most_vectors
//   floats(plan)    of the columns of one chunk
//   Columns<V>      of one tile: its columns where they are read from, and how they are gathered
#pragma once
#include <omp.h>

#include "pixels.h"
#include "product.h"

namespace openwork::OPENWORK_NAMESPACE {

// One thread's part of the workspace.
template <class Form>
struct SpmmScratch {
  int64_t packed, partial, gather;  // floats of each

  explicit SpmmScratch(const typename Form::Plan& plan) {
    const int64_t tile = static_cast<int64_t>(plan.vectors) * lanes;
    packed = Form::floats(plan);
    partial = plan.lists.chunks > 1 ? plan.lists.rows * tile : 0;
    gather = round_up(Gather::floats(plan.geometry, plan.vectors), 16);
  }
  int64_t all() const { return packed + partial + gather; }
};

// Pixels [begin, end) of one share of the filters. `more`: this thread runs the next tile too.
template <class Form, int V, int G>
void spmm_tile(const typename Form::Plan& plan, const Run& run, int64_t begin, int64_t end,
               const Share& share, bool more, float* memory) {
  const auto& lists = plan.lists;
  const Geometry& geometry = plan.geometry;
  const int64_t in_map = in_map_of(run, geometry);
  const int64_t out_map = out_map_of(run, geometry);
  const PixelTile tile(geometry, begin, end);
  const PixelRun& start = tile.run[0];
  const bool whole = tile.runs == 1 && end - begin == V * lanes;
  const SpmmScratch<Form> scratch(plan);
  float* packed = memory;
  float* partial = packed + scratch.packed;
  typename Form::template Columns<V> columns(plan, packed, in_map, whole);
  Gather gather(geometry, run.in_image, in_map, V, partial + scratch.partial);
  if (!columns.in_place) gather.find(begin, end);
  const bool later = activates_later(plan.epilogue.activation) && whole;
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
    columns.read(gather, run.input, first, from, to);
    const Prefetch prefetch = plan.plain && tile.runs == 1 && more
                                  ? Prefetch{first + V * lanes, in_map, V * lanes, to - from,
                                             ceil_div(to - from, share.last - share.first)}
                                  : Prefetch{};
    product_chunk<V, G>(lists, chunk, lists.weight, columns.x, columns.stride, partial, share,
                        write, prefetch);
  }
  activate_written();
}

template <class Form>
void spmm_run(const typename Form::Plan& plan, const Run& run) {
  const PixelTiling tiling(plan.geometry, plan.vectors, Share::most(plan.lists), run.batch,
                           run.threads);
  const int64_t scratch = SpmmScratch<Form>(plan).all();
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
    with_tile<Form::most_vectors>(
        static_cast<int>(end - begin), plan.lists.group, [&]<int V, int G>() {
          spmm_tile<Form, V, G>(plan, run, begin * lanes, stop, share, more, own);
        });
  }
}

template <class Form>
int64_t spmm_workspace(const typename Form::Plan& plan, int, int threads) {
  return SpmmScratch<Form>(plan).all() * threads;
}

template <class Form>
const char* spmm_refusal(const typename Form::Plan& plan) {
  if (plan.vectors > Form::most_vectors(plan.lists.group)) return "tile does not fit the registers";
  return nullptr;
}

}  // namespace openwork::OPENWORK_NAMESPACE
