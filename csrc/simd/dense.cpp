// f32-conv1x1-dense, f32-conv-dense: the weights as a full matrix times gathered pixels. A tile of
// filters x vectors of pixels stays in registers while all inputs pass. A few pixels that no whole
// vector takes have filters in the lanes instead.
#include <omp.h>

#include "pixels.h"
#include "table.h"
#include "tiles.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

// Inputs whose packed pixels stay in the L2 cache.
constexpr int chunk = 1024;

// One thread's part of the workspace.
struct Scratch {
  int64_t packed, partial, gather;  // floats of each

  explicit Scratch(const DensePlan& plan) {
    const int64_t tile = static_cast<int64_t>(plan.vectors) * lanes;
    packed = smaller(plan.inputs, chunk) * tile;
    partial = plan.inputs > chunk ? round_up(plan.geometry.out_channels, plan.group) * tile : 0;
    gather = round_up(Gather::floats(plan.geometry, plan.vectors), 16);
  }
  int64_t all() const { return packed + partial + gather; }
};

int groups_of(const DensePlan& plan) { return ceil_div(plan.geometry.out_channels, plan.group); }

template <int G, int V>
OPENWORK_INLINE void multiply(vec (&sum)[G][V], const float* x, int64_t stride, const float* weight,
                              int inputs) {
  for (int i = 0; i < inputs; ++i, x += stride, weight += G) {
    vec held[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) held[v] = load(x + v * lanes);
#pragma GCC unroll 16
    for (int g = 0; g < G; ++g) {
      const vec w = broadcast(weight[g]);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) sum[g][v] += w * held[v];
    }
  }
}

// Pixels [begin, end) of filter groups [first, last). `more`: this thread runs the next tile too.
template <int G, int V>
void run_tile(const DensePlan& plan, const Run& run, int64_t begin, int64_t end, int first,
              int last, bool more, float* memory) {
  const Geometry& geometry = plan.geometry;
  const int64_t in_map = in_map_of(run, geometry);
  const int64_t out_map = out_map_of(run, geometry);
  const PixelTile tile(geometry, begin, end);
  const PixelRun& start = tile.run[0];
  const bool in_place = plan.in_place && tile.runs == 1 && end - begin == V * lanes;
  const Scratch scratch(plan);
  float* packed = memory;
  float* partial = packed + scratch.packed;
  Gather gather(geometry, run.in_image, in_map, V, partial + scratch.partial);
  if (!in_place) gather.find(begin, end);
  // Whole tiles only.
  const bool later =
      activates_later(plan.epilogue.activation) && tile.runs == 1 && end - begin == V * lanes;
  const Epilogue linear{plan.epilogue.bias, Activation::none};
  const EpilogueWriter writer(later ? linear : plan.epilogue, run);
  const bool fetch = more && fetches_output(geometry);
  const bool plain = is_plain(geometry);

  for (int from = 0; from < plan.inputs; from += chunk) {
    const int inputs = smaller(chunk, plan.inputs - from);
    const float* at = run.input + start.image * run.in_image + start.pixel + from * in_map;
    if (!in_place)
      gather.read<V>(run.input, plan.channel + from, plan.tap + from, inputs,
                     FloatColumns<V>{packed});
    // What the next tile reads lies too far apart for the processor to foresee.
    const int ahead = plain && tile.runs == 1 && more ? ceil_div(inputs, last - first) : 0;
    int fetched = 0;
    for (int group = first; group < last; ++group) {
      const int row = group * G;
      vec sum[G][V];
#pragma GCC unroll 16
      for (int g = 0; g < G; ++g) {
        const vec bias = writer.bias(smaller(row + g, geometry.out_channels - 1));
        const float* held = partial + static_cast<int64_t>(row + g) * (V * lanes);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sum[g][v] = from > 0 ? load(held + v * lanes) : bias;
      }
      for (int stop = smaller(inputs, fetched + ahead); fetched < stop; ++fetched)
        for (int i = 0; i < V * lanes; i += 16)
          __builtin_prefetch(at + fetched * in_map + V * lanes + i, 0, 2);
      const float* weight = plan.weight + (static_cast<int64_t>(group) * plan.inputs + from) * G;
      if (in_place)
        multiply(sum, at, in_map, weight, inputs);
      else
        multiply(sum, packed, V * lanes, weight, inputs);
#pragma GCC unroll 16
      for (int g = 0; g < G; ++g) {
        if (from + inputs < plan.inputs) {
          float* held = partial + static_cast<int64_t>(row + g) * (V * lanes);
#pragma GCC unroll 8
          for (int v = 0; v < V; ++v) store(held + v * lanes, sum[g][v]);
        } else if (row + g < geometry.out_channels) {
          write_pixels<V>(writer, tile, run.out_image, (row + g) * out_map, sum[g], fetch);
        }
      }
      if (later && from + inputs == plan.inputs)
        silu_rows<V>(run.output + start.image * run.out_image + start.pixel + row * out_map,
                     out_map, smaller(G, geometry.out_channels - row));
    }
  }
}

// Pixels behind the last whole vector that are taken one by one. A tile takes as long for one of
// them as for a whole vector: a map of 7x7 would cost as four vectors what it has in 3.06.
constexpr int most_left = 4;

// Half a vector of filters: weights of two inputs fill one.
template <int G>
constexpr bool takes_left = 2 * G == lanes;

template <int G>
int left_of(const DensePlan& plan, const Run& run) {
  const int64_t pixels =
      static_cast<int64_t>(run.batch) * plan.geometry.out_height * plan.geometry.out_width;
  const int left = static_cast<int>(pixels % lanes);
  const bool some = takes_left<G> && is_plain(plan.geometry) && pixels > lanes;
  return some && left <= most_left ? left : 0;
}

template <int... I>
OPENWORK_INLINE vec halves(float low, float high, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(broadcast(low), broadcast(high),
                                 (I < lanes / 2 ? I : I + lanes)...);
}

// The last `left` pixels of filter groups [first, last) of a plain layer: even inputs in the lower
// half of a vector, odd ones in the upper.
template <int G>
void run_left(const DensePlan& plan, const Run& run, int left, int first, int last) {
  const Geometry& geometry = plan.geometry;
  const int64_t in_map = in_map_of(run, geometry), out_map = out_map_of(run, geometry);
  const int64_t map = static_cast<int64_t>(geometry.out_height) * geometry.out_width;
  const EpilogueWriter writer(plan.epilogue, run);
  for (int64_t pixel = run.batch * map - left; pixel < run.batch * map; ++pixel) {
    const int64_t image = pixel / map, place = pixel % map;
    const float* x = run.input + image * run.in_image + place;
    for (int group = first; group < last; ++group) {
      const float* weight = plan.weight + static_cast<int64_t>(group) * plan.inputs * G;
      vec sum[2]{};
      int i = 0;
      for (; i + 4 <= plan.inputs; i += 4)
#pragma GCC unroll 2
        for (int part = 0; part < 2; ++part)
          sum[part] += load(weight + (i + 2 * part) * G) *
                       halves(x[(i + 2 * part) * in_map], x[(i + 2 * part + 1) * in_map], Lanes{});
      for (; i < plan.inputs; ++i)
        sum[0] += load_lanes(weight + i * G, 0, G) * broadcast(x[i * in_map]);
      float total[lanes];
      store(total, sum[0] + sum[1]);
      const int64_t to = image * run.out_image + place;
      for (int g = 0; g < smaller(G, geometry.out_channels - group * G); ++g) {
        const int row = group * G + g;
        const vec value = broadcast(total[g] + total[g + G]) + writer.bias(row);
        writer.write_tail(value, to + row * out_map, 1);
      }
    }
  }
}

// Calls `body.template operator()<V>()` for a tile of `vectors`, at most `Most`.
template <int Most, int V = 1, class Body>
OPENWORK_INLINE void with_vectors(int vectors, const Body& body) {
  if (vectors == V) return body.template operator()<V>();
  if constexpr (V < Most) with_vectors<Most, V + 1>(vectors, body);
}

template <int G, int Most>
void run_tiles(const DensePlan& plan, const Run& run) {
  const int groups = groups_of(plan);
  const int left = left_of<G>(plan, run);
  const PixelTiling tiling(plan.geometry, Most, groups, run.batch, run.threads, left);
  const int64_t scratch = Scratch(plan).all();
  const int64_t tiled = tiling.tiles * tiling.parts, rest = left ? smaller(run.threads, groups) : 0;
  const int64_t items = tiled + rest;
#pragma omp parallel for num_threads(run.threads) schedule(dynamic, 1) if (run.threads > 1)
  for (int64_t item = 0; item < items; ++item) {
    if (item >= tiled) {
      if constexpr (takes_left<G>) {
        const int64_t part = item - tiled;
        run_left<G>(plan, run, left, static_cast<int>(groups * part / rest),
                    static_cast<int>(groups * (part + 1) / rest));
      }
      continue;
    }
    const int64_t tile = item / tiling.parts, part = item % tiling.parts;
    const int first = static_cast<int>(groups * part / tiling.parts);
    const int last = static_cast<int>(groups * (part + 1) / tiling.parts);
    const int64_t begin = tiling.begin(tile), end = tiling.begin(tile + 1);
    const int64_t stop = end * lanes < tiling.pixels ? end * lanes : tiling.pixels;
    const bool more = run.threads == 1 && item + 1 < tiled;
    float* own = run.workspace + omp_get_thread_num() * scratch;
    with_vectors<Most>(static_cast<int>(end - begin), [&]<int V>() {
      run_tile<G, V>(plan, run, begin * lanes, stop, first, last, more, own);
    });
  }
}

void run(const DensePlan& plan, const Run& run) {
  with_rows(DenseTiles{}, plan.group, plan.vectors,
            [&]<int G, int V>() { run_tiles<G, V>(plan, run); });
}

int64_t workspace(const DensePlan& plan, int, int threads) { return Scratch(plan).all() * threads; }

const char* refusal(const DensePlan& plan) {
  if (!with_rows(DenseTiles{}, plan.group, plan.vectors, []<int G, int V>() {}))
    return "no such tile";
  return nullptr;
}

}  // namespace

const Kernel<DensePlan> dense{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
