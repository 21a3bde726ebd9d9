#include "checks.h"

#include <vector>

#include "planes_layout.h"

namespace openwork {

namespace {

void check_starts(const int64_t* start, int filters, int64_t live) {
  if (start[0] != 0 || start[filters] != live)
    fail("`start` must run from 0 to ", live, ", not from ", start[0], " to ", start[filters]);
  for (int filter = 0; filter < filters; ++filter)
    if (start[filter + 1] < start[filter]) fail("`start` falls at filter ", filter);
}

void require_out(const char* name, int out, int in, int pad, int kernel, int dilation, int stride) {
  const int64_t reach =
      in + 2 * static_cast<int64_t>(pad) - static_cast<int64_t>(dilation) * (kernel - 1) - 1;
  const int64_t wanted = reach < 0 ? 0 : reach / stride + 1;
  if (out != wanted) fail("`", name, "`=", out, ", but the geometry gives ", wanted);
}

// The windows along one axis: each of them holds an input, and no place overflows.
void check_windows(const char* axis, int size, int kernel, int stride, int pad, int out) {
  const std::string name = axis;
  require_range(("kernel_" + name).c_str(), kernel, 1, most_reach);
  require_range(("stride_" + name).c_str(), stride, 1, most_size);
  require_range(("pad_" + name).c_str(), pad, 0, kernel / 2);
  if (static_cast<int64_t>(out - 1) * stride - pad >= size)
    fail("a pool's last window lies outside its input along ", axis);
}

void check_columns(const Geometry& g, const int32_t* channel, const uint16_t* tap,
                   int64_t columns) {
  const int taps = g.kernel_y * g.kernel_x;
  require_range("kernel_y * kernel_x", taps, 1, most_taps);
  require_range("len(channel)", columns, 1, static_cast<int64_t>(g.in_channels) * taps);
  for (int64_t i = 0; i < columns; ++i) {
    require_range("channel", channel[i], 0, g.in_channels - 1);
    require_range("tap", tap[i], 0, taps - 1);
  }
}

// What the entries of a sparse matrix are.
struct EntryRules {
  int indices;  // of one entry
  int zeros;    // inputs before the first of a chunk
};

template <class Weight>
void check_lists(const SparseLists<Weight>& l, int64_t indices, const EntryRules& rules) {
  check_group(l.group, most_group<Weight>);
  require_range("chunk", l.chunk, 1, 65535 - rules.zeros);
  require_range("chunks", l.chunks, (l.inputs + l.chunk - 1) / l.chunk,
                (l.inputs + l.chunk - 1) / l.chunk);
  const int groups = (l.rows + l.group - 1) / l.group;
  require_range("groups", l.groups, groups, groups);
  const int masks = loops(l.group);
  int64_t entry = 0, weight = 0;
  for (int chunk = 0; chunk < l.chunks; ++chunk) {
    std::vector<bool> seen(l.rows);
    const int inputs = l.chunk < l.inputs - chunk * l.chunk ? l.chunk : l.inputs - chunk * l.chunk;
    for (int group = 0; group < l.groups; ++group) {
      const int64_t slot = static_cast<int64_t>(chunk) * l.groups + group;
      if (l.entry_start[slot] != entry || l.weight_start[slot] != weight)
        fail("`entry_start` or `weight_start` is wrong at group ", slot);
      for (int g = 0; g < l.group; ++g) {
        const int row = l.row[slot * l.group + g];
        require_range("row", row, -1, l.rows - 1);
        if (row < 0) continue;
        if (row / filter_block != group * l.group / filter_block)
          fail("`row` names filter ", row, " outside its block");
        if (seen[row]) fail("`row` names filter ", row, " twice");
        seen[row] = true;
      }
      for (int mask = 1; mask <= masks; ++mask) {
        const int count = l.count[slot * masks + mask - 1];
        const int64_t end = entry + static_cast<int64_t>(count) * rules.indices;
        if (end > indices) fail("`count` runs beyond `index`");
        for (; entry < end; ++entry)
          require_range("index", l.index[entry], 0, inputs - 1 + rules.zeros);
        weight += static_cast<int64_t>(count) * readers(l.group, mask);
      }
    }
    for (int row = 0; row < l.rows; ++row)
      if (!seen[row]) fail("`row` lacks filter ", row);
  }
  if (entry != indices || weight != l.live) fail("`index` or `weight` is longer than `count` says");
}

// What spmm and pairs have in common.
template <class Plan>
void check_gathered(const Plan& plan, int64_t columns) {
  check_columns(plan.geometry, plan.channel, plan.tap, columns);
  for (int64_t i = 0; i < columns; ++i) {
    if (plan.plain && plan.channel[i] != i)
      fail("`channel` must be all channels in order for a plain 1x1 convolution");
  }
  require_range("vectors", plan.vectors, 1, 16);
}

void check_winograd(const Geometry& g) {
  if (g.kernel_y != 3 || g.kernel_x != 3 || g.stride_y != 1 || g.stride_x != 1 ||
      g.dilation_y != 1 || g.dilation_x != 1)
    fail("Winograd needs a 3x3 kernel with stride and dilation 1");
}

// `tap`: null, or the live weight of each tap of each connection, -1 for dead ones.
void check_taps(const int32_t* tap, int64_t taps, int64_t connections, int64_t live) {
  if (!tap) {
    if (connections * 9 != live) fail("`tap` is needed: some connections have dead taps");
    return;
  }
  require_range("len(tap)", taps, connections * 9, connections * 9);
  for (int64_t i = 0; i < taps; ++i) require_range("tap", tap[i], -1, live - 1);
}

}  // namespace

void require_range(const char* name, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most)
    fail("`", name, "`=", value, " must lie in [", least, ", ", most, "]");
}

void check_group(int64_t group, int most) {
  if (group == 1 || group == 2 || group == 4 || (group == 8 && most == 8)) return;
  fail("`group`=", group, " must be 1, 2", most == 8 ? ", 4 or 8" : " or 4");
}

void check_call(int64_t batch, int64_t threads) {
  require_range("batch", batch, 1, most_batch);
  require_range("threads", threads, 1, most_threads);
}

void check(const Geometry& g) {
  require_range("in_channels", g.in_channels, 1, most_size);
  require_range("out_channels", g.out_channels, 1, most_size);
  require_range("height", g.height, 1, most_size);
  require_range("width", g.width, 1, most_size);
  require_range("kernel_y", g.kernel_y, 1, most_reach);
  require_range("kernel_x", g.kernel_x, 1, most_reach);
  require_range("stride_y", g.stride_y, 1, most_reach);
  require_range("stride_x", g.stride_x, 1, most_reach);
  require_range("pad_y", g.pad_y, 0, most_reach);
  require_range("pad_x", g.pad_x, 0, most_reach);
  require_range("dilation_y", g.dilation_y, 1, most_reach);
  require_range("dilation_x", g.dilation_x, 1, most_reach);
  require_range("out_height", g.out_height, 1, 2 * most_size);
  require_range("out_width", g.out_width, 1, 2 * most_size);
  require_out("out_height", g.out_height, g.height, g.pad_y, g.kernel_y, g.dilation_y, g.stride_y);
  require_out("out_width", g.out_width, g.width, g.pad_x, g.kernel_x, g.dilation_x, g.stride_x);
}

void check(const Pool& pool) {
  require_range("channels", pool.channels, 1, most_size);
  require_range("height", pool.height, 1, most_size);
  require_range("width", pool.width, 1, most_size);
  require_range("out_height", pool.out_height, 1, most_size);
  require_range("out_width", pool.out_width, 1, most_size);
  check_windows("y", pool.height, pool.kernel_y, pool.stride_y, pool.pad_y, pool.out_height);
  check_windows("x", pool.width, pool.kernel_x, pool.stride_x, pool.pad_x, pool.out_width);
}

NormSizes norm_sizes(int64_t batch, int64_t channels, int64_t height, int64_t width) {
  require_range("batch", batch, 1, most_batch);
  require_range("channels", channels, 1, most_size);
  require_range("height", height, 1, most_size);
  require_range("width", width, 1, most_size);
  return {static_cast<int>(batch), static_cast<int>(channels), height * width};
}

void check(const Lists& lists, int64_t indices) { check_lists(lists, indices, {1, 0}); }

void check(const PairLists& lists, int64_t indices) { check_lists(lists, indices, {2, 1}); }

void check(const SpmmPlan& plan, int64_t columns) {
  check_gathered(plan, columns);
  if (plan.in_place && !plan.plain) fail("`in_place` needs a plain 1x1 convolution");
}

void check(const PairPlan& plan, int64_t columns) { check_gathered(plan, columns); }

void check(const WinogradPlan& plan) {
  check_winograd(plan.geometry);
  if (plan.output != 2 && plan.output != 4) fail("`output`=", plan.output, " must be 2 or 4");
  require_range("vectors", plan.vectors, 1, 16);
}

void check(const DirectPlan& plan, int64_t connections) {
  check_starts(plan.start, plan.geometry.out_channels, connections);
  for (int64_t i = 0; i < connections; ++i)
    require_range("index", plan.index[i], 0, plan.geometry.in_channels - 1);
}

void check(const TapsPlan& plan, int64_t taps) {
  const Geometry& g = plan.geometry;
  check_starts(plan.start, g.out_channels, taps);
  // The furthest a tap may lie so that every output still reads inside the planes.
  const PlanesLayout layout(g);
  const int64_t map = static_cast<int64_t>(g.out_height - 1) * layout.columns + g.out_width;
  for (int64_t i = 0; i < taps; ++i) require_range("offset", plan.offset[i], 0, layout.image - map);
}

void check(const DensePlan& plan, int64_t weights) {
  const Geometry& g = plan.geometry;
  check_columns(g, plan.channel, plan.tap, plan.inputs);
  if (plan.in_place) {
    if (!is_plain(g)) fail("`in_place` needs a plain 1x1 convolution");
    for (int i = 0; i < plan.inputs; ++i)
      if (plan.channel[i] != i) fail("`channel` must be all channels in order for `in_place`");
  }
  require_range("group", plan.group, 1, filter_block);
  const int64_t filters =
      (static_cast<int64_t>(g.out_channels) + plan.group - 1) / plan.group * plan.group;
  require_range("len(weight)", weights, filters * plan.inputs, filters * plan.inputs);
}

void check(const DepthwisePlan& plan, int64_t taps) {
  const Geometry& g = plan.geometry;
  const int every = g.kernel_y * g.kernel_x;
  require_range("kernel_y * kernel_x", every, 1, most_taps);
  check_starts(plan.start, g.out_channels, taps);
  for (int filter = 0; filter < g.out_channels; ++filter) {
    require_range("channel", plan.channel[filter], 0, g.in_channels - 1);
    int least = 0;
    for (int64_t i = plan.start[filter]; i < plan.start[filter + 1]; ++i) {
      require_range("tap", plan.tap[i], least, every - 1);
      least = plan.tap[i] + 1;
    }
  }
}

void check(const Refill& fill, int64_t connections, int64_t taps) {
  require_range("live", fill.live, 0, INT32_MAX);
  const bool winograd = fill.output != 0;
  if (winograd) check_taps(fill.tap, taps, connections, fill.live);
  const WholeKernels& whole = fill.whole;
  require_range("len(step)", whole.taps, 1, most_taps);
  if (fill.packed % whole.taps) fail("`step` has ", whole.taps, " taps, which divide no kernels");
  int64_t furthest = 0;
  for (int t = 0; t < whole.taps && whole.taps > 1; ++t) {
    require_range("step", whole.step[t], 0, INT32_MAX);
    if (whole.step[t] > furthest) furthest = whole.step[t];
  }
  const int64_t most = winograd ? connections : fill.live - furthest;
  for (int64_t i = 0; i < fill.packed / whole.taps; ++i)
    require_range("order", fill.order[i], 0, most - 1);
  const int64_t counts = whole.count ? whole.slots * whole.masks : 0;
  for (int64_t i = 0; i < counts; ++i)
    if (whole.count[i] % whole.taps) fail("`count` splits a kernel of ", whole.taps, " taps");
}

void check(const Samples& samples, int64_t bounds) {
  require_range("live", samples.live, 0, INT32_MAX);
  require_range("chunk", samples.chunk, 1, 65535);
  const int64_t chunks = (static_cast<int64_t>(samples.inputs) + samples.chunk - 1) / samples.chunk;
  require_range("chunks", samples.chunks, chunks, chunks);
  const int64_t wanted = (chunks + 1) * samples.rows;
  require_range("len(bound)", bounds, wanted, wanted);
  int64_t at = 0;
  for (int row = 0; row < samples.rows; ++row)
    for (int chunk = 0; chunk <= samples.chunks; ++chunk) {
      const int64_t bound = samples.bound[static_cast<int64_t>(chunk) * samples.rows + row];
      if (bound < at || bound > samples.live || (chunk == 0 && bound != at))
        fail("`bound` is wrong at filter ", row, ", chunk ", chunk);
      // The entries before this bound are those of the chunk before.
      const int64_t left = samples.inputs - (chunk - 1) * static_cast<int64_t>(samples.chunk);
      const int64_t columns = left < samples.chunk ? left : samples.chunk;
      for (; at < bound; ++at) require_range("index", samples.index[at], 0, columns - 1);
    }
  if (at != samples.live) fail("`bound` ends at ", at, ", not at ", samples.live);
}

void check(const SampledSpmmPlan& plan, int64_t columns) {
  const Geometry& g = plan.geometry;
  check_columns(g, plan.channel, plan.tap, columns);
  if (plan.in_place && !is_plain(g)) fail("`in_place` needs a plain 1x1 convolution");
  for (int64_t i = 0; plan.in_place && i < columns; ++i)
    if (plan.channel[i] != i) fail("`channel` must be all channels in order for `in_place`");
}

void check(const SampledWinogradPlan& plan, int64_t taps) {
  check_winograd(plan.geometry);
  require_range("live", plan.live, 0, INT32_MAX);
  check_taps(plan.tap, taps, plan.samples.live, plan.live);
  // Every weight's gradient is written.
  if (!plan.tap) return;
  std::vector<bool> seen(plan.live);
  int64_t found = 0;
  for (int64_t i = 0; i < taps; ++i) {
    if (plan.tap[i] < 0) continue;
    if (seen[plan.tap[i]]) fail("`tap` names weight ", plan.tap[i], " twice");
    seen[plan.tap[i]] = true, ++found;
  }
  if (found != plan.live) fail("`tap` names ", found, " of ", plan.live, " weights");
}

void check(const SampledDirectPlan& plan) {
  require_range("chunks", plan.samples.chunks, 1, 1);
  require_range("live", plan.samples.live, 0, INT32_MAX / 9);
}

void check(const SampledDepthwisePlan& plan) {
  const Geometry& g = plan.geometry;
  const int taps = g.kernel_y * g.kernel_x;
  require_range("kernel_y * kernel_x", taps, 1, most_taps);
  require_range("connections", plan.connections, 0, INT32_MAX / taps);
  for (int i = 0; i < plan.connections; ++i) {
    require_range("filter", plan.filter[i], 0, g.out_channels - 1);
    require_range("channel", plan.channel[i], 0, g.in_channels - 1);
  }
}

void check(const TransposedDepthwisePlan& plan, int64_t kernels) {
  const Geometry& g = plan.geometry;
  require_range("kernel_y * kernel_x", g.kernel_y * g.kernel_x, 1, most_taps);
  for (int channel = 0; channel < g.in_channels; ++channel) {
    require_range("filter", plan.filter[channel], 0, g.out_channels - 1);
    require_range("kernel", plan.kernel[channel], -1, kernels - 1);
  }
}

void check(const Interleave& job) {
  require_range("stride_y", job.stride_y, 1, most_reach);
  require_range("stride_x", job.stride_x, 1, most_reach);
  for (int y = 0; y < job.stride_y; ++y)
    for (int x = 0; x < job.stride_x; ++x) {
      const Phase& phase = job.phases[y * job.stride_x + x];
      if (!phase.from) continue;
      const int64_t rows = (static_cast<int64_t>(job.height) - y + job.stride_y - 1) / job.stride_y;
      const int64_t columns =
          (static_cast<int64_t>(job.width) - x + job.stride_x - 1) / job.stride_x;
      require_range("top", phase.top, 0, phase.height - (rows > 0 ? rows : 0));
      require_range("left", phase.left, 0, phase.width - (columns > 0 ? columns : 0));
    }
}

}  // namespace openwork
