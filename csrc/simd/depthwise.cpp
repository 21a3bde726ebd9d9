// f32-conv-depthwise: filters that read one input channel each, with any multiplier.
//
// Whole square kernels with stride 1 or 2 run down the map, one vector wide. All others go tap by
// tap, in tiles of rows, through a padded copy of a band of rows: reading it waits for the stores
// that have just written it.
#include <omp.h>

#include "depthwise_rows.h"
#include "epilogue.h"
#include "planes.h"
#include "table.h"

namespace openwork::OPENWORK_NAMESPACE {

namespace {

constexpr int most_rows = 8;  // outputs in a tile: 7 or 8 divide most maps
constexpr int band_floats = 8192;

// Bands of output rows, and the padded input rows that one of them reads.
struct Bands {
  int columns, pitch;  // floats of one column phase, and of a row
  int reach;           // input rows that one output row spans
  int rows, count;     // output rows in a band, all bands

  explicit Bands(const Geometry& g)
      : columns(PlanesLayout(g).columns),
        pitch(columns * g.stride_x),
        reach((g.kernel_y - 1) * g.dilation_y + 1) {
    const int most = (band_floats / pitch - reach) / g.stride_y + 1;
    rows = smaller(g.out_height, larger(most / most_rows, 1) * most_rows);
    count = ceil_div(g.out_height, rows);
  }

  int in_rows(const Geometry& g, int out_rows) const { return (out_rows - 1) * g.stride_y + reach; }
  // With what vectors at the right edge read beyond their row, and the last tile beyond the band.
  int64_t floats(const Geometry& g) const {
    const int64_t all = in_rows(g, rows + 3);
    return round_up(all * pitch + 2 * lanes, 16);
  }
};

// The padded rows of one map that outputs read, from `first` on.
void copy_band(const Geometry& g, const PlanesLayout& layout, const float* map, int first, int rows,
               float* to) {
  for (int r = 0; r < rows; ++r) {
    const int y = first * g.stride_y - g.pad_y + r;
    for (int phase = 0; phase < g.stride_x; ++phase, to += layout.columns) {
      if (y >= 0 && y < g.height)
        pad_row(g, layout, map + static_cast<int64_t>(y) * g.width, phase, to, true);
      else
        for (int c = 0; c < layout.columns; ++c) to[c] = 0.f;
    }
  }
}

template <int R>
OPENWORK_INLINE void add_taps(vec (&sum)[R], const float* x, int64_t row, const int64_t* offset,
                              const uint16_t* tap, const float* weight, int64_t taps) {
  for (int64_t i = 0; i < taps; ++i) {
    const float* from = x + offset[tap[i]];
    const vec w = broadcast(weight[i]);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) sum[r] += w * load(from + r * row);
  }
}

// Splits `rows` into tiles that differ by at most one row, and calls
// `body.template operator()<R>(y, count)` for each, with R at least `count`.
template <class Body>
OPENWORK_INLINE void over_rows(int rows, const Body& body) {
  const int tiles = ceil_div(rows, most_rows);
  // Without divisions, which take longer than a small map.
  for (int y = 0, left = tiles; left > 0; --left) {
    const int count = tiles == 1 ? rows : ceil_div(rows - y, left);
    if (count == 8)
      body.template operator()<8>(y, count);
    else if (count > 4)
      body.template operator()<7>(y, count);
    else
      body.template operator()<4>(y, count);
    y += count;
  }
}

// One filter on one map.
struct Work {
  const Geometry& g;
  const EpilogueWriter& writer;
  int filter;
  int64_t output;  // its first float
};

// What finishes an output row: bounds or an activation at once, or a call for several rows.
enum class Finish { bound, silu, hardswish, later };

Finish finish_of(const EpilogueWriter& writer) {
  if (writer.residual) return Finish::later;
  if (writer.bounds) return Finish::bound;
  const Activation activation = writer.epilogue.activation;
  if (activation == Activation::silu)
    return activates_later(activation) ? Finish::bound : Finish::silu;
  return activation == Activation::hardswish ? Finish::hardswish : Finish::later;
}

// Filters whose taps are all live, with square kernels: one vector of columns from the top of the
// map to its bottom. Each input row is read once, for all outputs that it feeds.
template <class S>
struct WholeKernel {
  Columns<S> edges[2];  // of the left edge, and of the right one

  bool run(const Work& work, const float* map, const float* weight) {
    const Geometry& g = work.g;
    const EpilogueWriter& writer = work.writer;
    const Finish finish = finish_of(writer);
    run_map(work, map, weight, finish);
    if (finish == Finish::bound && activates_later(writer.epilogue.activation))
      silu_span(writer.output + work.output, static_cast<int64_t>(g.out_height) * g.out_width);
    return true;
  }

 private:
  void run_map(const Work& work, const float* map, const float* weight, Finish finish) {
    const Geometry& g = work.g;
    for (int x = 0; x < g.out_width; x += lanes) {
      const int left = x * S::s - g.pad_x;
      const bool inside = left >= 0 && left + S::k - 1 + S::s * lanes <= g.width;
      Columns<S>& columns = edges[x > 0];
      const auto run_as = [&]<Finish F, bool Edge>() {
        run_columns<F, Edge>(work, map + left, weight, x, columns);
      };
      if (finish == Finish::bound && inside) {
        run_as.template operator()<Finish::bound, false>();
        continue;
      }
      columns.find(g, x, lanes);
      if (finish == Finish::bound)
        run_as.template operator()<Finish::bound, true>();
      else if (finish == Finish::silu)
        run_as.template operator()<Finish::silu, true>();
      else if (finish == Finish::hardswish)
        run_as.template operator()<Finish::hardswish, true>();
      else
        run_as.template operator()<Finish::later, true>();
    }
  }

  // Copies of what `work` and `columns` hold stay in registers: stores to the output would make the
  // compiler load them again.
  template <Finish F, bool Edge>
  static void run_columns(const Work& work, const float* from, const float* weight, int x,
                          const Columns<S> columns) {
    constexpr int open = (S::k - 1) / S::s + 1;  // outputs that wait for more rows
    const Geometry& g = work.g;
    const EpilogueWriter& writer = work.writer;
    const vec bias = writer.bias(work.filter);
    const vec low = broadcast(writer.low), high = broadcast(writer.high);
    const int height = g.height, width = g.width, rows = g.out_height, step = g.out_width;
    const int count = smaller(lanes, step - x);
    int64_t at = work.output + x;
    float* to = writer.output + at;
    vec small[9] = {};
    if constexpr (S::k == 3)
      for (int i = 0; i < 9; ++i) small[i] = broadcast(weight[i]);
    vec done[most_rows];
    int waiting = 0;
    vec sum[open] = {};  // of output rows y + open - 1, ..., y
    int row = -g.pad_y;
    from += static_cast<int64_t>(row) * width;
    for (int y = 1 - open; y < rows; ++y) {
      sum[0] = bias;
#pragma GCC unroll 2
      for (int phase = 0; phase < S::s; ++phase, ++row, from += width) {
        if (row >= 0 && row < height) {
          vec held[S::k];
          read_row<S, Edge>(from, columns, held);
#pragma GCC unroll 8
          for (int kx = 0; kx < S::k; ++kx)
#pragma GCC unroll 8
            for (int i = 0; i < open; ++i)
              if (const int tap = (i * S::s + phase) * S::k + kx; tap < S::k * S::k)
                sum[i] += (S::k == 3 ? small[tap] : broadcast(weight[tap])) * held[kx];
        }
        // The last row of a kernel is of phase 0.
        if (phase > 0 || y < 0) continue;
        if constexpr (F != Finish::later) {
          vec value = S::s == 2 ? in_order(sum[open - 1]) : sum[open - 1];
          if constexpr (F == Finish::bound) {
            value = at_most(at_least(value, low), high);
          } else {
            value = activate(F == Finish::silu ? Activation::silu : Activation::hardswish, value);
          }
          store_lanes(to, value, count);
          to += step;
        } else {
          done[waiting++] = S::s == 2 ? in_order(sum[open - 1]) : sum[open - 1];
          if (waiting < most_rows && y + 1 < rows) continue;
          writer.template write_rows<most_rows>(done, at, step, waiting, count);
          at += static_cast<int64_t>(step) * waiting;
          waiting = 0;
        }
      }
#pragma GCC unroll 8
      for (int i = open - 1; i > 0; --i) sum[i] = sum[i - 1];
    }
  }
};

// Maps whose filters run tap by tap.
class Taps {
 public:
  Taps(const DepthwisePlan& plan, float* memory)
      : plan(plan), bands(plan.geometry), layout(plan.geometry), band(memory) {
    const Geometry& g = plan.geometry;
    for (int tap = 0; tap < g.kernel_y * g.kernel_x; ++tap) {
      const int x = tap % g.kernel_x * g.dilation_x;
      offset[tap] = static_cast<int64_t>(tap / g.kernel_x) * g.dilation_y * bands.pitch +
                    x % g.stride_x * bands.columns + x / g.stride_x;
    }
  }

  void run(const Work& work, const float* map) {
    const Geometry& g = plan.geometry;
    const int64_t begin = plan.start[work.filter];
    const int64_t taps = plan.start[work.filter + 1] - begin;
    const int64_t row = static_cast<int64_t>(g.stride_y) * bands.pitch;
    const vec bias = work.writer.bias(work.filter);
    for (int first = 0; first < g.out_height; first += bands.rows) {
      const int rows_here = smaller(bands.rows, g.out_height - first);
      if (taps > 0) copy_band(g, layout, map, first, bands.in_rows(g, rows_here), band);
      over_rows(rows_here, [&]<int R>(int y, int count) {
        for (int x = 0; x < g.out_width; x += lanes) {
          vec sum[R];
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) sum[r] = bias;
          add_taps<R>(sum, band + y * row + x, row, offset, plan.tap + begin, plan.weight + begin,
                      taps);
          work.writer.template write_rows<R>(
              sum, work.output + static_cast<int64_t>(first + y) * g.out_width + x, g.out_width,
              count, g.out_width - x);
        }
      });
    }
  }

 private:
  const DepthwisePlan& plan;
  const Bands bands;
  const PlanesLayout layout;
  float* band;
  int64_t offset[most_taps];
};

// Other kernels and strides.
struct AnyKernel {
  bool run(const Work&, const float*, const float*) const { return false; }
};

template <class Whole>
void run_maps(const DepthwisePlan& plan, const Run& run) {
  const Geometry& g = plan.geometry;
  const EpilogueWriter writer(plan.epilogue, run);
  const int taps = g.kernel_y * g.kernel_x;
  const int64_t in_map = in_map_of(run, g), out_map = out_map_of(run, g);
#pragma omp parallel num_threads(run.threads) if (run.threads > 1)
  {
    Whole whole;
    Taps single(plan, run.workspace + omp_get_thread_num() * Bands(g).floats(g));
    for (int64_t image = 0; image < run.batch; ++image) {
#pragma omp for schedule(static) nowait
      for (int filter = 0; filter < g.out_channels; ++filter) {
        const float* map = run.input + image * run.in_image + plan.channel[filter] * in_map;
        const Work work{g, writer, filter, image * run.out_image + filter * out_map};
        const int64_t begin = plan.start[filter];
        if (plan.start[filter + 1] - begin < taps || !whole.run(work, map, plan.weight + begin))
          single.run(work, map);
      }
    }
  }
}

void run(const DepthwisePlan& plan, const Run& run) {
  const bool found = with_shape(AllShapes{}, plan.geometry,
                                [&]<class S>(S) { run_maps<WholeKernel<S>>(plan, run); });
  if (!found) run_maps<AnyKernel>(plan, run);
}

int64_t workspace(const DepthwisePlan& plan, int, int threads) {
  return Bands(plan.geometry).floats(plan.geometry) * threads;
}

const char* refusal(const DepthwisePlan&) { return nullptr; }

}  // namespace

const Kernel<DepthwisePlan> depthwise{run, workspace, refusal};

}  // namespace openwork::OPENWORK_NAMESPACE
