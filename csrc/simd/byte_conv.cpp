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
  const int64_t* offset;  // [columns], into `source`

  static int64_t lines(const BytePlan& p) {
    return (p.shared ? p.columns : 4 * static_cast<int64_t>(p.most_quads)) + 1;
  }
  // Floats for one thread.
  static int64_t floats(const BytePlan& p) {
    return (lines(p) * pixels + static_cast<int64_t>(p.most_quads) * quad_bytes) / 4 + 16;
  }

  const uint8_t* column(int number) const { return source + offset[number]; }

  // Groups [first, last) for one tile.
  template <int V>
  void tile(const ByteTile& t, int first, int last, uint8_t* memory) const {
    uint8_t* interleaved = memory;
    uint8_t* lines = memory + static_cast<int64_t>(plan.most_quads) * quad_bytes;
    const bool apart = t.reads > 1;
    if (apart && plan.shared)
      for (int c = 0; c < plan.columns; ++c)
        t.gather<V>(column(c), lines + static_cast<int64_t>(c) * pixels);
    for (int group = first; group < last; ++group) {
      const int64_t begin = plan.group_column[group];
      const int count = static_cast<int>(plan.group_column[group + 1] - begin);
      const int32_t* columns = plan.column + begin;
      if (apart) {
        if (!plan.shared)
          for (int c = 0; c < count; ++c)
            t.gather<V>(column(columns[c]), lines + static_cast<int64_t>(c) * pixels);
        for (int c = 0; c < count; c += 4) {
          const uint8_t* four[4];
          for (int i = 0; i < 4; ++i)
            four[i] = lines + static_cast<int64_t>(pixels) * (plan.shared ? columns[c + i] : c + i);
          interleave<V>(load_bytes(four[0]), load_bytes(four[1]), load_bytes(four[2]),
                        load_bytes(four[3]), interleaved + static_cast<int64_t>(c) * pixels);
        }
      } else {
        in_place<V>(t, columns, count, interleaved);
      }
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

  // What lies side by side is read where it is. Planes may be read beyond their last pixel.
  template <int V>
  OPENWORK_INLINE_MEMBER void in_place(const ByteTile& t, const int32_t* columns, int count,
                                       uint8_t* to) const {
    const int64_t from = t.read[0].from;
    const bool whole = t.count == pixels || !plan.plain;
    for (int c = 0; c < count; c += 4, to += quad_bytes) {
      bytes four[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const uint8_t* line = column(columns[c + i]) + from;
        four[i] = spread<V>(whole ? load_bytes(line) : load_first(line, t.count));
      }
      interleave<V>(four[0], four[1], four[2], four[3], to);
    }
  }

  template <int V>
  OPENWORK_INLINE_MEMBER static void interleave(bytes a, bytes b, bytes c, bytes d, uint8_t* to) {
    const bytes low_ab = low8(a, b), low_cd = low8(c, d);
    store_bytes(to, low16(low_ab, low_cd));
    if constexpr (V > 1) store_bytes(to + pixels, high16(low_ab, low_cd));
    if constexpr (V > 2) {
      const bytes high_ab = high8(a, b), high_cd = high8(c, d);
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
    if (t.write[0].count == pixels) return load_bytes(from + t.write[0].residual);
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
    if (t.write[0].count == pixels) return store_bytes(output + t.write[0].to, packed);
    uint8_t line[2 * pixels];
    store_bytes(line, packed);
    for (int i = 0; i < t.writes; ++i)
      copy_bytes(output + t.write[i].to, line + t.write[i].place, t.write[i].count);
  }
};

// Tiles of pixels, and parts of the groups of filters where there are fewer tiles than threads.
struct Tiling {
  int64_t pixels_each, tiles_each, tiles;  // of an image, or of all
  int parts;

  Tiling(const BytePlan& plan, const BytePlanes& planes, int batch, int threads) {
    pixels_each = ByteTile::pixels_of(planes, batch);
    tiles_each = (pixels_each + pixels - 1) / pixels;
    tiles = tiles_each * (planes.plain ? 1 : batch);
    parts = tiles >= threads ? 1 : static_cast<int>((threads + tiles - 1) / tiles);
    parts = smaller(parts, plan.groups);
  }
  int64_t begin(int64_t tile) const {
    const int64_t at = tile * pixels;
    return at < pixels_each ? at : pixels_each;
  }
};

int64_t offset_floats(const BytePlan& plan) {
  const Geometry& g = plan.geometry;
  return round_up(2 * (int64_t{1} * g.kernel_y * g.kernel_x + plan.columns), 16);
}

// Where each column begins. Places of taps are divisions, which are made once.
const int64_t* offsets(const BytePlan& plan, const BytePlanes& planes, int64_t* memory) {
  const int taps = plan.geometry.kernel_y * plan.geometry.kernel_x;
  for (int tap = 0; tap < taps; ++tap) memory[tap] = planes.tap(tap);
  int64_t* offset = memory + taps;
  for (int c = 0; c < plan.columns; ++c)
    offset[c] = plan.channel[c] * planes.channel + memory[plan.tap[c]];
  return offset;
}

void run(const BytePlan& plan, const ByteRun& r) {
  if (plan.depthwise) return run_depthwise(plan, r);
  if (plan.rows == ByteLinear::block_rows) return run_linear(plan, r);
  const Geometry& g = plan.geometry;
  const BytePlanes planes(g, plan.plain);
  uint8_t* copy = reinterpret_cast<uint8_t*>(r.workspace);
  float* scratch = r.workspace + round_up(planes.floats(r.batch), 16);
  const Work work{plan, r, planes, plan.plain ? r.input : copy,
                  offsets(plan, planes, reinterpret_cast<int64_t*>(scratch))};
  scratch += offset_floats(plan);
  const Tiling tiling(plan, planes, r.batch, r.threads);
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
      const int64_t image = tile / tiling.tiles_each, own = tile % tiling.tiles_each;
      const ByteTile t(planes, r, image, tiling.begin(own), tiling.begin(own + 1));
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
  return round_up(planes.floats(batch), 16) + offset_floats(plan) +
         round_up(Work::floats(plan), 16) * threads;
}

const char* refusal(const BytePlan&) { return nullptr; }

}  // namespace

const Kernel<BytePlan, ByteRun> byte_conv{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
