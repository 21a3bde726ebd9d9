#include "bytes.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "checks.h"
#include "isa.h"

namespace openwork {

#if defined(OPENWORK_BASELINE_ONLY)
namespace baseline {
const ByteKernels& byte_kernels();
}
#elif defined(__x86_64__)
namespace baseline {
const ByteKernels& byte_kernels();
}
namespace avx2 {
const ByteKernels& byte_kernels();
}
namespace avx512 {
const ByteKernels& byte_kernels();
}
namespace avxvnni {
const ByteKernels& byte_kernels();
}
namespace avx512vnni {
const ByteKernels& byte_kernels();
}
#else
namespace neon {
const ByteKernels& byte_kernels();
}
#endif

namespace {

// Kernels of bytes that go beyond those of an instruction set of float32.
struct Beyond {
  const char* name;
  const char* isa;
  bool usable;
  const ByteKernels& (*kernels)();
};

#if defined(__x86_64__) && !defined(OPENWORK_BASELINE_ONLY)
bool has_avxvnni() {
  // What __builtin_cpu_supports("avxvnni") asks, which not all compilers know.
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}
#endif

const std::vector<Beyond>& beyond() {
#if defined(__x86_64__) && !defined(OPENWORK_BASELINE_ONLY)
  static const std::vector<Beyond> all{
      {"avxvnni", "avx2", is_usable("avx2") && has_avxvnni(), avxvnni::byte_kernels},
      {"avx512vnni", "avx512", is_usable("avx512") && __builtin_cpu_supports("avx512vnni"),
       avx512vnni::byte_kernels}};
#else
  static const std::vector<Beyond> all;
#endif
  return all;
}

void require_starts(const char* name, const int64_t* start, int64_t count, int64_t end) {
  if (start[0] != 0 || start[count] != end) fail("`", name, "` must reach from 0 to ", end);
  for (int64_t i = 0; i < count; ++i)
    if (start[i + 1] < start[i]) fail("`", name, "` must rise");
}

void check_columns(const BytePlan& p, int64_t entries) {
  const Geometry& g = p.geometry;
  const int taps = g.kernel_y * g.kernel_x;
  for (int c = 0; c < p.columns; ++c) {
    require_range("channel", p.channel[c], 0, g.in_channels - 1);
    require_range("tap", p.tap[c], 0, taps - 1);
    if (p.plain && p.channel[c] != c) fail("columns of a plain layer must be its channels");
  }
  if (p.plain && (!is_plain(g) || p.columns != g.in_channels))
    fail("a plain layer must be 1x1, and have a column for each channel");
  for (int64_t i = 0; i < entries; ++i) require_range("column", p.column[i], 0, p.columns - 1);
}

// How many weights the kernels read.
int64_t weights_of(const BytePlan& p, int64_t quads) {
  const Geometry& g = p.geometry;
  if (!p.depthwise) return quads * p.rows * 4;
  if (g.stride_x > 2 || g.dilation_x > 1 || g.out_channels % g.in_channels || p.to_float)
    fail(
        "a depthwise layer must have strides of 1 or 2, no dilation along rows, a multiple of its "
        "channels as filters, and write bytes");
  return static_cast<int64_t>(g.out_channels) * g.kernel_y * (g.kernel_x / 4 + 1) * 8;
}

// Whether the products of bytes with four weights, added in pairs in 16 bits, hold their sums: also
// those of other four, added to them.
bool fits(const int8_t* weight, const int8_t* other) {
  for (int i = 0; i < 4; i += 2) {
    int above = 0, below = 0;
    for (const int8_t* four : {weight, other}) {
      if (!four) continue;
      for (const int w : {four[i], four[i + 1]}) (w > 0 ? above : below) += w;
    }
    if (above > most_narrow || below < -most_narrow) return false;
  }
  return true;
}

// Of each row of the kernel of a depthwise filter, both as it is and one pixel on.
int32_t narrow_rows(const Geometry& g, const int8_t* weight) {
  const int each = (g.kernel_x / 4 + 1) * 2;
  int32_t rows = 0;
  for (int ky = 0; ky < g.kernel_y; ++ky) {
    bool all = ky < 31;
    for (int four = 0; four < each; ++four, weight += 4) all = all && fits(weight, nullptr);
    rows |= all ? 1 << ky : 0;
  }
  return rows;
}

// Each filter is written, and by one block.
void check_filters(const BytePlan& p) {
  std::vector<bool> found(p.geometry.out_channels);
  int left = p.geometry.out_channels;
  for (int64_t i = 0; i < static_cast<int64_t>(p.blocks) * p.rows; ++i) {
    const int filter = p.filter[i];
    if (filter == -1) continue;
    require_range("filter", filter, 0, p.geometry.out_channels - 1);
    if (found[filter]) fail("filter ", static_cast<int64_t>(filter), " is in two blocks");
    found[filter] = true;
    --left;
  }
  if (left) fail("each filter must be in a block");
}

}  // namespace

ByteLayout::ByteLayout(const Geometry& g, bool plain) : plain(plain) {
  rows = g.out_height + (g.kernel_y - 1) * g.dilation_y / g.stride_y;
  width = g.out_width + (g.kernel_x - 1) * g.dilation_x / g.stride_x;
  channel = plain ? static_cast<int64_t>(g.height) * g.width
                  : static_cast<int64_t>(rows) * width * g.stride_y * g.stride_x;
}

int64_t ByteLayout::tap(const Geometry& g, int number) const {
  if (plain) return 0;
  const int y = number / g.kernel_x * g.dilation_y, x = number % g.kernel_x * g.dilation_x;
  const int64_t phase = static_cast<int64_t>(y % g.stride_y) * g.stride_x + x % g.stride_x;
  return (phase * rows + y / g.stride_y) * width + x / g.stride_x;
}

std::vector<int32_t> places(const BytePlan& p) {
  const Geometry& g = p.geometry;
  const ByteLayout layout(g, p.plain);
  if (layout.channel > INT32_MAX / g.in_channels) fail("the padded input must be within 2 GiB");
  std::vector<int32_t> tap, place(p.group_column[p.groups]);
  for (int i = 0; i < g.kernel_y * g.kernel_x; ++i)
    tap.push_back(static_cast<int32_t>(layout.tap(g, i)));
  for (size_t i = 0; i < place.size(); ++i) {
    const int32_t column = p.column[i];
    place[i] = static_cast<int32_t>(p.channel[column] * layout.channel) + tap[p.tap[column]];
  }
  return place;
}

std::vector<std::string> byte_isas() {
  std::vector<std::string> names;
  for (const std::string& isa : usable_isas()) {
    names.push_back(isa);
    for (const Beyond& each : beyond())
      if (each.usable && isa == each.isa) names.push_back(each.name);
  }
  return names;
}

const ByteKernels& byte_kernels_of(const std::string& isa) {
#if defined(OPENWORK_BASELINE_ONLY)
  kernels_of(isa);
  return baseline::byte_kernels();
#elif defined(__x86_64__)
  for (const Beyond& each : beyond())
    if (each.usable && isa == each.name) return each.kernels();
  kernels_of(isa);  // throws
  if (isa == "avx512") return avx512::byte_kernels();
  return isa == "avx2" ? avx2::byte_kernels() : baseline::byte_kernels();
#else
  kernels_of(isa);
  return neon::byte_kernels();
#endif
}

std::string byte_isa_of(const std::string& isa) {
  for (const Beyond& each : beyond())
    if (each.usable && isa == each.isa) return each.name;
  return isa;
}

void check(const BytePlan& p, const ByteCounts& counts) {
  const auto [entries, quads, weights, rest_quads, rest_weights] = counts;
  check(p.geometry);
  const bool single = is_plain(p.geometry) && p.geometry.height == 1 && p.geometry.width == 1;
  if (p.rows != 1 && p.rows != 2 && p.rows != 4 && p.rows != 8 && !(p.rows == 16 && single))
    fail("`rows`=", p.rows, " must be 1, 2, 4, 8, or 16 for maps of one pixel");
  check_columns(p, entries);
  require_starts("group_column", p.group_column, p.groups, entries);
  require_starts("group_block", p.group_block, p.groups, p.blocks);
  require_starts("quad_start", p.quad_start, p.blocks, quads);
  const int64_t wanted = weights_of(p, quads);
  if (weights != wanted) fail("`weight` must have ", wanted, " numbers, not ", weights);
  const int64_t rests = rest_quads / p.rows;
  if (rest_quads != rests * p.rows || rest_weights != 4 * rest_quads)
    fail("`rest_quad` must have ", p.rows, " numbers for each entry, and `rest_weight` four times");
  if (rests && (p.depthwise || p.rows > 8)) fail("depthwise and linear layers have no rest");
  for (int64_t i = 0; i < rest_quads; ++i)
    if (!fits(p.rest_weight + 4 * i, nullptr)) fail("`rest_weight` must fit 16 bits in pairs");
  require_starts("rest_start", p.rest_start, p.blocks, rests);
  for (int group = 0; group < p.groups; ++group) {
    const int64_t columns = p.group_column[group + 1] - p.group_column[group];
    if (columns % 4 || columns > 4 * most_byte_inputs) fail("a group's columns must be fours");
    for (int64_t b = p.group_block[group]; b < p.group_block[group + 1]; ++b) {
      const int64_t rest = p.rest_start[b + 1] - p.rest_start[b];
      if (p.quad_start[b + 1] - p.quad_start[b] + rest > most_byte_inputs / 4)
        fail("a filter must have at most ", static_cast<int64_t>(most_byte_inputs), " inputs");
      for (int64_t q = p.quad_start[b]; q < p.quad_start[b + 1]; ++q)
        require_range("quad", p.quad[q], 0, columns / 4 - 1);
      for (int64_t q = p.rest_start[b] * p.rows; q < p.rest_start[b + 1] * p.rows; ++q)
        require_range("rest_quad", p.rest_quad[q], 0, columns / 4 - 1);
    }
  }
  check_filters(p);
  require_range("zero", p.zero, 0, 255);
  require_range("residual_zero", p.residual_zero, 0, 255);
  require_range("out_zero", p.out_zero, 0, 255);
  const float zero = static_cast<float>(p.out_zero);
  if (!(p.least <= p.most)) fail("`least` must be at most `most`");
  if (!p.to_float && (p.least < -zero || p.most > 255 - zero))
    fail("`least` and `most` must be within a byte");
}

int most_quads(const BytePlan& p) {
  int64_t most = 0;
  for (int group = 0; group < p.groups; ++group)
    most = std::max(most, (p.group_column[group + 1] - p.group_column[group]) / 4);
  return static_cast<int>(most);
}

std::vector<int32_t> narrow_of(const BytePlan& p) {
  const Geometry& g = p.geometry;
  std::vector<int32_t> narrow;
  if (p.depthwise) {
    const int64_t each = int64_t{g.kernel_y} * (g.kernel_x / 4 + 1) * 8;
    for (int f = 0; f < g.out_channels; ++f) narrow.push_back(narrow_rows(g, p.weight + f * each));
    return narrow;
  }
  const int fours = p.rows;
  const auto all_fit = [&](int64_t quad, bool two) {
    const int8_t* weight = p.weight + quad * fours * 4;
    for (int r = 0; r < fours; ++r, weight += 4)
      if (!fits(weight, two ? weight + fours * 4 : nullptr)) return false;
    return true;
  };
  for (int b = 0; b < p.blocks; ++b) {
    int64_t q = p.quad_start[b];
    while (q + 2 <= p.quad_start[b + 1] && all_fit(q, true)) q += 2;
    narrow.push_back(static_cast<int32_t>(q - p.quad_start[b]));
    const int64_t first = q;
    while (q < p.quad_start[b + 1] && all_fit(q, false)) ++q;
    narrow.push_back(static_cast<int32_t>(q - first));
  }
  return narrow;
}

}  // namespace openwork
