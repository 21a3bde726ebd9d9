#include "make_byte_layer.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "../isa.h"
#include "packing_parts.h"

namespace openwork {

namespace {

// What a plan points into: numbers of the packing, and what follows from them.
struct Held {
  std::shared_ptr<const void> packed;
  std::vector<int32_t> place, narrow;
};

int count_of(int64_t size, const char* name) {
  require_range(name, size, 1, int64_t{1} << 30);
  return static_cast<int>(size);
}

const float* finite(PackingParts& parts, const char* name, int64_t count) {
  const float* numbers = parts.array<float>(name, count);
  for (int64_t i = 0; i < count; ++i)
    if (!std::isfinite(numbers[i])) fail("`", name, "` must be finite");
  return numbers;
}

// The sizes and arrays in their order: those of the plan's fields, and `least`, `most` and
// `residual_scale` as the last array.
BytePlan plan_of(PackingParts& parts) {
  const Geometry& g = parts.geometry();
  BytePlan plan{};
  plan.geometry = g;
  plan.plain = parts.flag("plain"), plan.depthwise = parts.flag("depthwise");
  plan.rows = parts.size("rows");
  plan.zero = parts.size("zero");
  plan.to_float = parts.flag("to_float");
  plan.out_zero = parts.size("out_zero"), plan.residual_zero = parts.size("residual_zero");
  require_range("rows", plan.rows, 1, 16);
  const Span<int32_t> channel = parts.array<int32_t>("channel");
  plan.columns = count_of(channel.count, "columns");
  plan.channel = channel.data, plan.tap = parts.array<uint16_t>("tap", channel.count);
  const Span<int64_t> group_column = parts.array<int64_t>("group_column");
  plan.groups = count_of(group_column.count - 1, "groups");
  plan.group_column = group_column.data;
  const Span<int32_t> column = parts.array<int32_t>("column");
  plan.column = column.data;
  plan.group_block = parts.array<int64_t>("group_block", group_column.count);
  const Span<int32_t> filter = parts.array<int32_t>("filter");
  const Span<int64_t> quad_start = parts.array<int64_t>("quad_start");
  plan.blocks = count_of(quad_start.count - 1, "blocks");
  PackingParts::require_count("filter", filter.count, int64_t{plan.blocks} * plan.rows);
  plan.filter = filter.data, plan.quad_start = quad_start.data;
  const Span<uint16_t> quad = parts.array<uint16_t>("quad");
  const Span<int8_t> weight = parts.array<int8_t>("weight");
  plan.quad = quad.data, plan.weight = weight.data;
  plan.rest_start = parts.array<int64_t>("rest_start", quad_start.count);
  const Span<uint16_t> rest_quad = parts.array<uint16_t>("rest_quad");
  const Span<int8_t> rest_weight = parts.array<int8_t>("rest_weight");
  plan.rest_quad = rest_quad.data, plan.rest_weight = rest_weight.data;
  plan.offset = parts.array<int32_t>("offset", g.out_channels);
  plan.scale = finite(parts, "scale", g.out_channels);
  plan.bias = finite(parts, "bias", g.out_channels);
  const float* numbers = parts.array<float>("numbers", 3);
  plan.least = numbers[0], plan.most = numbers[1], plan.residual_scale = numbers[2];
  if (!std::isfinite(plan.residual_scale)) fail("`residual_scale` must be finite");
  parts.finish();
  check(plan, {column.count, quad.count, weight.count, rest_quad.count, rest_weight.count});
  plan.most_quads = most_quads(plan);
  return plan;
}

}  // namespace

std::shared_ptr<const ByteLayer> make_byte_layer(const std::string& isa, Packing packing,
                                                 std::shared_ptr<const void> keep) {
  PackingParts parts(packing);
  BytePlan plan = plan_of(parts);
  const auto held = std::make_shared<Held>(Held{std::move(keep), places(plan), {}});
  plan.place = held->place.data();
  const std::vector<std::string> usable = byte_isas();
  const ByteKernels* kernels = nullptr;
  if (std::find(usable.begin(), usable.end(), isa) == usable.end()) {
    shapes_of(isa);  // Refuses what does not run elsewhere either.
  } else {
    kernels = &byte_kernels_of(isa);
    if (kernels->narrow) held->narrow = narrow_of(plan);
    plan.narrow = held->narrow.data();
  }
  return std::make_shared<ByteLayer>(
      ByteLayer{plan, kernels, held, std::make_shared<const Packing>(std::move(packing))});
}

}  // namespace openwork
