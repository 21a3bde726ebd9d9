// Convolutions of bytes: sparse and dense matrix times gathered pixels, four columns at a time.
#include <omp.h>

#include "byte_columns.h"
#include "byte_depthwise.h"
#include "byte_finish.h"
#include "byte_linear.h"
#include "byte_table.h"
#include "byte_vec.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

constexpr int quad_bytes = 4 * pixels;

// What is in registers at once: the sums of some of a block's filters for some of a tile's vectors.
template <int Rows>
constexpr int rows_at_once = registers == 32 ? Rows
                             : Rows == 8     ? 4
                             : Rows == 1     ? 1
                                             : 2;
template <int Rows>
constexpr int vectors_at_once = Rows == 8 ? 2 : 4;

// The only block of a group interleaves columns in registers, twice. Not in plain layers of large
// maps: their channels lie on separate pages, and looking for these twice costs more than vectors
// that are stored (256->64 at 56x56, a quarter live, one Cascade Lake core: 160 us against 143).
// With smaller maps ResNet-50, a quarter live, takes 0.92 of the time on one Zen 4 core.
OPENWORK_INLINE bool is_direct(const BytePlan& p, int group) {
  const bool apart = p.plain && p.geometry.height * p.geometry.width > most_direct_map;
  return p.rows >= 4 && !apart && p.group_block[group + 1] - p.group_block[group] == 1;
}

// Four columns of a group, interleaved: vectors `From` and on of the V of a tile.
struct Columns {
  const uint8_t* base;
  const int32_t* place;  // of each column

  template <int V, int From, int Count>
  OPENWORK_INLINE_MEMBER void quad(int number, bytes (&x)[Count]) const {
    const int32_t* at = place + 4 * number;
    const bytes a = spread<V>(load_bytes(base + at[0])), b = spread<V>(load_bytes(base + at[1]));
    const bytes c = spread<V>(load_bytes(base + at[2])), d = spread<V>(load_bytes(base + at[3]));
    if constexpr (From == 0) {
      const bytes ab = low8(a, b), cd = low8(c, d);
      x[0] = low16(ab, cd);
      if constexpr (Count > 1) x[1] = high16(ab, cd);
    }
    if constexpr (From + Count > 2) {
      const bytes ab = high8(a, b), cd = high8(c, d);
      x[2 - From] = low16(ab, cd);
      if constexpr (From + Count > 3) x[3 - From] = high16(ab, cd);
    }
  }
};

struct Interleaved {
  const uint8_t* base;

  template <int V, int From, int Count>
  OPENWORK_INLINE_MEMBER void quad(int number, bytes (&x)[Count]) const {
#pragma GCC unroll 4
    for (int v = 0; v < Count; ++v)
      x[v] = load_bytes(base + int64_t{number} * quad_bytes + (From + v) * pixels);
  }
};

struct Work {
  const BytePlan& plan;
  const ByteRun& run;
  const BytePlanes planes;
  const uint8_t* source;    // planes, or the input
  const int32_t* gathered;  // places of columns among gathered lines
  const ByteFinish finish;
  const int64_t out_map;

  static int64_t lines(const BytePlan& p) { return p.plain ? p.columns : 0; }
  // Floats for one thread.
  static int64_t floats(const BytePlan& p) {
    return (lines(p) * pixels + int64_t{p.most_quads} * quad_bytes) / 4 + 16;
  }

  // Groups [first, last) for one tile.
  template <int V>
  void tile(const ByteTile& t, int first, int last, uint8_t* memory) const {
    Columns columns{source, plan.place};
    // Planes may be read beyond their last pixel, an input may not.
    if (t.reads == 1 && (!plan.plain || t.count == pixels)) {
      columns.base += t.read[0].from;
    } else {
      uint8_t* lines = memory + int64_t{plan.most_quads} * quad_bytes;
      for (int c = 0; c < plan.columns; ++c)
        t.gather(source + c * planes.layout.channel, lines + int64_t{c} * pixels);
      columns = {lines, gathered};
    }
    for (int group = first; group < last; ++group) {
      const int64_t begin = plan.group_column[group], end = plan.group_column[group + 1];
      const Columns own{columns.base, columns.place + begin};
      if (is_direct(plan, group)) {
        if (plan.rows == 8)
          blocks<8, V>(t, group, own);
        else
          blocks<4, V>(t, group, own);
        continue;
      }
      for (int quad = 0; quad < (end - begin) / 4; ++quad) {
        bytes x[V];
        own.quad<V, 0>(quad, x);
        for (int v = 0; v < V; ++v)
          store_bytes(memory + int64_t{quad} * quad_bytes + v * pixels, x[v]);
      }
      const Interleaved quads{memory};
      if (plan.rows == 8)
        blocks<8, V>(t, group, quads);
      else if (plan.rows == 4)
        blocks<4, V>(t, group, quads);
      else if (plan.rows == 2)
        blocks<2, V>(t, group, quads);
      else
        blocks<1, V>(t, group, quads);
    }
  }

  template <int Rows, int V, typename Source>
  OPENWORK_INLINE_MEMBER void blocks(const ByteTile& t, int group, const Source& read) const {
    constexpr int some = rows_at_once<Rows>;
    for (int64_t b = plan.group_block[group]; b < plan.group_block[group + 1]; ++b)
      for (int first = 0; first < Rows; first += some) filters<Rows, V>(t, b, first, read);
  }

  // Some of a block's filters.
  template <int Rows, int V, typename Source>
  void filters(const ByteTile& t, int64_t block, int first, Source read) const {
    constexpr int some = rows_at_once<Rows>, at_once = vectors_at_once<Rows>;
    shorts low[some];
    part<Rows, V, 0, (V < at_once ? V : at_once)>(t, block, first, read, low);
    if constexpr (V > at_once) part<Rows, V, at_once, V - at_once>(t, block, first, read, low);
  }

  // Vectors `From` and on of a tile's V. `low`: what the first two are for each filter, until the
  // others are.
  template <int Rows, int V, int From, int Count, typename Source, int Some>
  OPENWORK_INLINE_MEMBER void part(const ByteTile& t, int64_t block, int first, const Source& read,
                                   shorts (&low)[Some]) const {
    const int32_t* filter = plan.filter + block * Rows + first;
    const int64_t start = plan.quad_start[block], count = plan.quad_start[block + 1] - start;
    const uint16_t* quad = plan.quad + start;
    const int8_t* weight = plan.weight + (start * Rows + first) * 4;
    // What is missing is computed as if it were the first filter's.
    ints sum[Some][Count];
#pragma GCC unroll 8
    for (int r = 0; r < Some; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < Count; ++v) sum[r][v] = ints{} + plan.offset[larger(filter[r], 0)];
    int64_t q = 0;
    const auto add_quad = [&](const auto& product) OPENWORK_INLINE_LAMBDA {
      bytes x[Count];
      read.template quad<V, From>(quad[q], x);
#pragma GCC unroll 8
      for (int r = 0; r < Some; ++r) {
        const ints w = broadcast_quad(weight + 4 * r);
#pragma GCC unroll 4
        for (int v = 0; v < Count; ++v) sum[r][v] = product(sum[r][v], x[v], w);
      }
    };
    if constexpr (narrow_sums) {
      const int64_t two = plan.narrow[2 * block], one = two + plan.narrow[2 * block + 1];
      for (; q < two; q += 2, weight += 8 * Rows) {
        bytes x[Count], y[Count];
        read.template quad<V, From>(quad[q], x);
        read.template quad<V, From>(quad[q + 1], y);
        // Vectors outside: filters outside would need more registers than there are.
#pragma GCC unroll 4
        for (int v = 0; v < Count; ++v)
#pragma GCC unroll 8
          for (int r = 0; r < Some; ++r)
            sum[r][v] = narrow_dots(sum[r][v], x[v], broadcast_quad(weight + 4 * r), y[v],
                                    broadcast_quad(weight + 4 * (Rows + r)));
      }
      for (; q < one; ++q, weight += 4 * Rows) add_quad(narrow_dot);
    }
#pragma GCC unroll 2
    for (; q < count; ++q, weight += 4 * Rows) add_quad(dot);
    add_rest<Rows, V, From>(block, first, read, sum);
    // In memory, so that the filters' code is there once.
    ints kept[Some][Count];
#pragma GCC unroll 8
    for (int r = 0; r < Some; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < Count; ++v) kept[r][v] = sum[r][v];
    if (plan.to_float)
      finish_floats<V, From, Count>(t, filter, kept);
    else if (run.residual)
      finish_bytes<V, From, Count, true>(t, filter, kept, low);
    else
      finish_bytes<V, From, Count, false>(t, filter, kept, low);
  }

  // What some weights exceed 16-bit sums by: other fours for each filter.
  template <int Rows, int V, int From, int Some, int Count, typename Source>
  OPENWORK_INLINE_MEMBER void add_rest(int64_t block, int first, const Source& read,
                                       ints (&sum)[Some][Count]) const {
    const int64_t last = plan.rest_start[block + 1];
    for (int64_t i = plan.rest_start[block]; i < last; ++i) {
      const int64_t at = i * Rows + first;
#pragma GCC unroll 8
      for (int r = 0; r < Some; ++r) {
        bytes x[Count];
        read.template quad<V, From>(plan.rest_quad[at + r], x);
        const ints w = broadcast_quad(plan.rest_weight + 4 * (at + r));
#pragma GCC unroll 4
        for (int v = 0; v < Count; ++v) sum[r][v] = narrow_dot(sum[r][v], x[v], w);
      }
    }
  }

  template <int V, int From, int Count, bool Residual, int Some>
  OPENWORK_INLINE_MEMBER void finish_bytes(const ByteTile& t, const int32_t* filter,
                                           const ints (&sum)[Some][Count],
                                           shorts (&low)[Some]) const {
    const ByteFinish own = finish;
#pragma GCC unroll 1
    for (int r = 0; r < Some; ++r) {
      constexpr bool last = From + Count == V;
      if (last && filter[r] < 0) continue;
      const int row = larger(filter[r], 0);
      reals value[4]{};
#pragma GCC unroll 4
      for (int v = 0; v < Count; ++v) value[From + v] = own.scaled(sum[r][v], row);
      if constexpr (Residual) add_residual<V, From, Count>(t, own, row, value);
      shorts high{};
      if constexpr (From == 0) low[r] = own.halves(value[0], value[1]);
      if constexpr (From + Count > 2) high = own.halves(value[2], value[3]);
      if constexpr (last) write<V>(t, row, own.joined(low[r], high));
    }
  }

  template <int V, int From, int Count, int Some>
  OPENWORK_INLINE_MEMBER void finish_floats(const ByteTile& t, const int32_t* filter,
                                            const ints (&sum)[Some][Count]) const {
#pragma GCC unroll 1
    for (int r = 0; r < Some; ++r) {
      if (filter[r] < 0) continue;
      reals value[4]{};
#pragma GCC unroll 4
      for (int v = 0; v < Count; ++v) value[From + v] = finish.scaled(sum[r][v], filter[r]);
      if (run.residual) add_residual<V, From, Count>(t, finish, filter[r], value);
      write_floats<V, From, Count>(t, filter[r], value + From);
    }
  }

  template <int V, int From, int Count>
  OPENWORK_INLINE_MEMBER void add_residual(const ByteTile& t, const ByteFinish& own, int filter,
                                           reals (&value)[4]) const {
    bytes wide[4];
    widened(residual<V>(t, filter), wide);
#pragma GCC unroll 4
    for (int v = From; v < From + Count; ++v) value[v] = own.with_residual(value[v], wide[v]);
  }

  template <int V, int From, int Count>
  __attribute__((noinline)) void write_floats(const ByteTile& t, int filter,
                                              const reals* value) const {
    float* output = static_cast<float*>(run.output) + filter * out_map;
    for (int i = 0; i < t.writes; ++i)
      for (int p = 0; p < t.write[i].count; ++p) {
        const int place = t.write[i].place + p, v = place / 4 % V - From;
        if (v < 0 || v >= Count) continue;
        const reals own = between(value[v], plan.least, plan.most);
        output[t.write[i].to + p] = own[place / (4 * V) * 4 + place % 4];
      }
  }

  template <int V>
  OPENWORK_INLINE_MEMBER bytes residual(const ByteTile& t, int filter) const {
    const uint8_t* from = run.residual + filter * out_map;
    if (t.write[0].count == pixels) return load_bytes(from + t.write[0].residual);
    bytes value{};
    for (int i = 0; i < t.writes; ++i)
      value = load_part(value, from + t.write[i].residual, t.write[i].place, t.write[i].count);
    return spread<V>(value);
  }

  template <int V>
  OPENWORK_INLINE_MEMBER void write(const ByteTile& t, int filter, bytes results) const {
    const bytes packed = collect<V>(results);
    uint8_t* output = static_cast<uint8_t*>(run.output) + filter * out_map;
    if (t.write[0].count == pixels) return store_bytes(output + t.write[0].to, packed);
    for (int i = 0; i < t.writes; ++i)
      store_part(output + t.write[i].to, packed, t.write[i].place, t.write[i].count);
  }
};

// Tiles of pixels, and parts of the groups of filters where there are fewer tiles than threads.
struct Tiling {
  int64_t pixels_each, tiles_each, tiles;  // of an image, or of all
  int parts;

  Tiling(const BytePlan& plan, const BytePlanes& planes, int batch, int threads) {
    pixels_each = ByteTile::pixels_of(planes, batch);
    tiles_each = (pixels_each + pixels - 1) / pixels;
    tiles = tiles_each * (planes.layout.plain ? 1 : batch);
    parts = tiles >= threads ? 1 : static_cast<int>((threads + tiles - 1) / tiles);
    parts = smaller(parts, plan.groups);
  }
  int64_t begin(int64_t tile) const {
    const int64_t at = tile * pixels;
    return at < pixels_each ? at : pixels_each;
  }
};

// Places of columns among gathered lines.
int64_t gathered_floats(const BytePlan& plan) {
  return plan.plain ? round_up(plan.group_column[plan.groups], 16) : 0;
}

const int32_t* gathered(const BytePlan& plan, float* memory) {
  int32_t* place = reinterpret_cast<int32_t*>(memory);
  const int64_t count = plan.plain ? plan.group_column[plan.groups] : 0;
  for (int64_t i = 0; i < count; ++i) place[i] = plan.column[i] * pixels;
  return place;
}

void run(const BytePlan& plan, const ByteRun& r) {
  if (plan.depthwise) return run_depthwise(plan, r);
  if (plan.rows == ByteLinear::block_rows) return run_linear(plan, r);
  const Geometry& g = plan.geometry;
  const BytePlanes planes(g, plan.plain);
  uint8_t* copy = reinterpret_cast<uint8_t*>(r.workspace);
  float* scratch = r.workspace + round_up(planes.floats(r.batch), 16);
  const Work work{.plan = plan,
                  .run = r,
                  .planes = planes,
                  .source = plan.plain ? r.input : copy,
                  .gathered = gathered(plan, scratch),
                  .finish = ByteFinish(plan),
                  .out_map = int64_t{g.out_height} * g.out_width};
  scratch += gathered_floats(plan);
  const Tiling tiling(plan, planes, r.batch, r.threads);
  const int64_t each = round_up(Work::floats(plan), 16);
  const int64_t maps = plan.plain ? 0 : static_cast<int64_t>(r.batch) * g.in_channels;
#pragma omp parallel num_threads(r.threads)
  {
#pragma omp for schedule(static)
    for (int64_t i = 0; i < maps; ++i) {
      const int64_t image = i / g.in_channels, channel = i % g.in_channels;
      planes.fill(r.input + image * r.in_image + channel * g.height * g.width,
                  copy + i * planes.layout.channel, plan.zero);
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
  return round_up(planes.floats(batch), 16) + gathered_floats(plan) +
         round_up(Work::floats(plan), 16) * threads;
}

const char* refusal(const BytePlan&) { return nullptr; }

}  // namespace

const Kernel<BytePlan, ByteRun> byte_conv{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
