// Convolutions of bytes: sparse and dense matrix times gathered pixels, four columns at a time.
#include <omp.h>

#include "byte_columns.h"
#include "byte_depthwise.h"
#include "byte_linear.h"
#include "byte_table.h"
#include "byte_vec.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

constexpr int quad_bytes = 4 * pixels;

// Filters whose sums are in registers at once, with four vectors of pixels.
template <int Rows>
constexpr int at_once = registers == 32 || Rows < 2 ? Rows : 2;

struct Work {
  const BytePlan& plan;
  const ByteRun& run;
  const BytePlanes planes;
  const uint8_t* source;  // planes, or the input

  static int64_t lines(const BytePlan& p) {
    return (p.shared ? p.columns : 4 * static_cast<int64_t>(p.most_quads)) + 1;
  }
  // Floats for one thread.
  static int64_t floats(const BytePlan& p) {
    return (lines(p) * pixels + static_cast<int64_t>(p.most_quads) * quad_bytes) / 4 + 16;
  }

  template <int V>
  OPENWORK_INLINE_MEMBER void gather(const ByteTile& tile, int column, uint8_t* line) const {
    const uint8_t* from =
        source + plan.channel[column] * planes.channel + planes.tap(plan.tap[column]);
    tile.gather<V>(from, plan.plain, line);
  }

  // Groups [first, last) for one tile.
  template <int V>
  void tile(const ByteTile& t, int first, int last, uint8_t* memory) const {
    uint8_t* interleaved = memory;
    uint8_t* lines = memory + static_cast<int64_t>(plan.most_quads) * quad_bytes;
    const bool in_place = plan.plain && t.reads == 1 && t.count == pixels;
    const uint8_t* base = in_place ? source + t.read[0].from : lines;
    const int64_t distance = in_place ? planes.channel : pixels;
    if (!in_place && plan.shared)
      for (int c = 0; c < plan.columns; ++c)
        gather<V>(t, c, lines + static_cast<int64_t>(c) * pixels);
    for (int group = first; group < last; ++group) {
      const int64_t begin = plan.group_column[group];
      const int count = static_cast<int>(plan.group_column[group + 1] - begin);
      const int32_t* column = plan.column + begin;
      const bool own = !in_place && !plan.shared;
      if (own)
        for (int c = 0; c < count; ++c)
          gather<V>(t, column[c], lines + static_cast<int64_t>(c) * pixels);
      for (int c = 0; c < count; c += 4)
        interleave<V>(base + distance * (own ? c : column[c]),
                      base + distance * (own ? c + 1 : column[c + 1]),
                      base + distance * (own ? c + 2 : column[c + 2]),
                      base + distance * (own ? c + 3 : column[c + 3]),
                      interleaved + static_cast<int64_t>(c) * pixels);
      for (int64_t b = plan.group_block[group]; b < plan.group_block[group + 1]; ++b) {
        if (plan.rows == 4)
          block<4, V>(t, b, interleaved);
        else if (plan.rows == 2)
          block<2, V>(t, b, interleaved);
        else
          block<1, V>(t, b, interleaved);
      }
    }
  }

  template <int V>
  OPENWORK_INLINE_MEMBER static void interleave(const uint8_t* a, const uint8_t* b,
                                                const uint8_t* c, const uint8_t* d, uint8_t* to) {
    const bytes va = load_bytes(a), vb = load_bytes(b), vc = load_bytes(c), vd = load_bytes(d);
    const bytes low_ab = low8(va, vb), low_cd = low8(vc, vd);
    store_bytes(to, low16(low_ab, low_cd));
    if constexpr (V > 1) store_bytes(to + pixels, high16(low_ab, low_cd));
    if constexpr (V > 2) {
      const bytes high_ab = high8(va, vb), high_cd = high8(vc, vd);
      store_bytes(to + 2 * pixels, low16(high_ab, high_cd));
      if constexpr (V > 3) store_bytes(to + 3 * pixels, high16(high_ab, high_cd));
    }
  }

  template <int Rows, int V>
  void block(const ByteTile& t, int64_t number, const uint8_t* interleaved) const {
    constexpr int some = at_once<Rows>;
    const int64_t start = plan.quad_start[number];
    const int64_t count = plan.quad_start[number + 1] - start;
    for (int first = 0; first < Rows; first += some) {
      const int32_t* filter = plan.filter + number * Rows + first;
      ints sum[some][V];
      for (int r = 0; r < some; ++r)
        for (int v = 0; v < V; ++v)
          sum[r][v] = ints{} + (filter[r] < 0 ? 0 : plan.offset[filter[r]]);
      const uint16_t* quad = plan.quad + start;
      const int8_t* weight = plan.weight + (start * Rows + first) * 4;
      for (int64_t q = 0; q < count; ++q, weight += 4 * Rows) {
        const uint8_t* from = interleaved + quad[q] * quad_bytes;
        bytes x[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) x[v] = load_bytes(from + v * pixels);
#pragma GCC unroll 4
        for (int r = 0; r < some; ++r) {
          const ints w = broadcast_quad(weight + 4 * r);
#pragma GCC unroll 4
          for (int v = 0; v < V; ++v) sum[r][v] = dot(sum[r][v], x[v], w);
        }
      }
#pragma GCC unroll 4
      for (int r = 0; r < some; ++r) {
        if (filter[r] < 0) continue;
        ints copy[V];
        for (int v = 0; v < V; ++v) copy[v] = sum[r][v];
        write<V>(t, filter[r], copy);
      }
    }
  }

  template <int V>
  __attribute__((noinline)) void write_floats(const ByteTile& t, int64_t map,
                                              const reals (&value)[V]) const {
    float line[pixels];
    for (int v = 0; v < V; ++v)
      for (int i = 0; i < pixels / 4; ++i) line[4 * (V * (i / 4) + v) + i % 4] = value[v][i];
    float* output = static_cast<float*>(run.output) + map;
    for (int i = 0; i < t.writes; ++i)
      for (int p = 0; p < t.write[i].count; ++p)
        output[t.write[i].to + p] = line[t.write[i].place + p];
  }

  template <int V>
  OPENWORK_INLINE_MEMBER bytes residual(const ByteTile& t, int64_t map) const {
    const uint8_t* from = run.residual + map;
    if (t.writes == 1 && t.count == pixels) return load_bytes(from + t.write[0].residual);
    uint8_t line[2 * pixels];
    for (int i = 0; i < t.writes; ++i)
      copy_bytes(line + t.write[i].place, from + t.write[i].residual, t.write[i].count);
    return spread<V>(load_bytes(line));
  }

  template <int V>
  OPENWORK_INLINE_MEMBER void write(const ByteTile& t, int filter, const ints (&sum)[V]) const {
    const int64_t map = static_cast<int64_t>(filter) * planes.g.out_height * planes.g.out_width;
    const float scale = plan.scale[filter], bias = plan.bias[filter];
    reals value[V];
    for (int v = 0; v < V; ++v) value[v] = to_floats(sum[v]) * scale + bias;
    if (run.residual) {
      ints other[4];
      widen(residual<V>(t, map), other);
      for (int v = 0; v < V; ++v)
        value[v] = value[v] + to_floats(other[v] - plan.residual_zero) * plan.residual_scale;
    }
    for (int v = 0; v < V; ++v) value[v] = between(value[v], plan.least, plan.most);
    if (plan.to_float) return write_floats<V>(t, map, value);
    ints q[4]{};
    for (int v = 0; v < V; ++v) q[v] = rounded(value[v]) + plan.out_zero;
    const bytes packed = collect<V>(pack(q[0], q[1], q[2], q[3]));
    uint8_t* output = static_cast<uint8_t*>(run.output) + map;
    if (t.writes == 1) {
      if (t.count == pixels) return store_bytes(output + t.write[0].to, packed);
      uint8_t line[2 * pixels];
      store_bytes(line, packed);
      return copy_bytes(output + t.write[0].to, line, t.count);
    }
    uint8_t line[2 * pixels];
    store_bytes(line, packed);
    for (int i = 0; i < t.writes; ++i)
      copy_bytes(output + t.write[i].to, line + t.write[i].place, t.write[i].count);
  }
};

// Vectors of int32 that all pixels fill, shared out so that tiles differ by one vector at most.
struct Tiling {
  int64_t count, vectors, tiles;
  int parts;

  Tiling(const BytePlan& plan, int batch, int threads) {
    const Geometry& g = plan.geometry;
    count = static_cast<int64_t>(batch) * g.out_height * g.out_width;
    vectors = (count + pixels / 4 - 1) / (pixels / 4);
    tiles = (vectors + 3) / 4;
    parts = tiles >= threads ? 1 : static_cast<int>((threads + tiles - 1) / tiles);
    parts = smaller(parts, plan.groups);
  }
  int64_t begin(int64_t tile) const {
    const int64_t at = tiles * 4 - vectors < 4 ? full(tile) : vectors * tile / tiles;
    return at * (pixels / 4) < count ? at * (pixels / 4) : count;
  }

 private:
  // As many whole tiles as there can be: those need no rearranging.
  int64_t full(int64_t tile) const {
    const int64_t missing = tiles * 4 - vectors, whole = tiles - missing;
    if (whole < 0) return vectors * tile / tiles;
    return tile <= whole ? 4 * tile : 4 * whole + 3 * (tile - whole);
  }
};

void run(const BytePlan& plan, const ByteRun& r) {
  if (plan.depthwise) return run_depthwise(plan, r);
  if (plan.rows == ByteLinear::block_rows) return run_linear(plan, r);
  const Geometry& g = plan.geometry;
  const BytePlanes planes(g, plan.plain);
  uint8_t* copy = reinterpret_cast<uint8_t*>(r.workspace);
  const Work work{plan, r, planes, plan.plain ? r.input : copy};
  const Tiling tiling(plan, r.batch, r.threads);
  float* scratch = r.workspace + round_up(planes.floats(r.batch), 16);
  const int64_t each = round_up(Work::floats(plan), 16);
  const int64_t maps = plan.plain ? 0 : static_cast<int64_t>(r.batch) * g.in_channels;
#pragma omp parallel num_threads(r.threads)
  {
#pragma omp for schedule(static)
    for (int64_t i = 0; i < maps; ++i) {
      const int64_t image = i / g.in_channels, channel = i % g.in_channels;
      planes.fill(r.input + image * r.in_image + channel * g.height * g.width,
                  copy + i * planes.channel, plan.zero);
    }
    uint8_t* memory = reinterpret_cast<uint8_t*>(scratch + each * omp_get_thread_num());
#pragma omp for schedule(static)
    for (int64_t i = 0; i < tiling.tiles * tiling.parts; ++i) {
      const int64_t tile = i / tiling.parts, part = i % tiling.parts;
      const ByteTile t(planes, r, tiling.begin(tile), tiling.begin(tile + 1));
      const int first = static_cast<int>(plan.groups * part / tiling.parts);
      const int last = static_cast<int>(plan.groups * (part + 1) / tiling.parts);
      switch (ceil_div(t.count, pixels / 4)) {
        case 1:
          work.tile<1>(t, first, last, memory);
          break;
        case 2:
          work.tile<2>(t, first, last, memory);
          break;
        case 3:
          work.tile<3>(t, first, last, memory);
          break;
        default:
          work.tile<4>(t, first, last, memory);
      }
    }
  }
}

int64_t workspace(const BytePlan& plan, int batch, int threads) {
  if (plan.depthwise) return depthwise_workspace(plan, threads);
  if (plan.rows == ByteLinear::block_rows) return linear_workspace(plan, batch);
  const BytePlanes planes(plan.geometry, plan.plain);
  return round_up(planes.floats(batch), 16) + round_up(Work::floats(plan), 16) * threads;
}

const char* refusal(const BytePlan&) { return nullptr; }

}  // namespace

const Kernel<BytePlan, ByteRun> byte_conv{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
