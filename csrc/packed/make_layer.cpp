#include "make_layer.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "../checks.h"
#include "../isa.h"
#include "../linear.h"
#include "packing_parts.h"

namespace openwork {

namespace {

// A layer for another machine: it is written to a file, never run.
class ForeignLayer final : public Layer {
 public:
  ForeignLayer(const Geometry& geometry, std::string isa, std::shared_ptr<const void> arrays)
      : Layer(geometry), isa_(std::move(isa)), arrays_(std::move(arrays)) {}

  int64_t workspace(int /*batch*/, int /*threads*/) const override { refuse(); }
  void run(const Run& /*run*/) const override { refuse(); }
  bool runs_in_bands() const override { return false; }
  void run_band(const Run& /*run*/, const Band& /*band*/) const override { refuse(); }

 private:
  [[noreturn]] void refuse() const { fail("the layer is packed for '", isa_, "', not for here"); }

  std::string isa_;
  std::shared_ptr<const void> arrays_;
};

// What every kernel's packing has.
class Parts : public PackingParts {
 public:
  Parts(const std::string& isa, const Packing& packing, std::shared_ptr<const void> keep)
      : PackingParts(packing), isa_(isa), keep_(std::move(keep)) {
    const Span<float> bias = array<float>("bias");
    if (bias.count) require_count("bias", bias.count, packing.geometry.out_channels);
    epilogue_ = {bias.count ? bias.data : nullptr, packing.activation};
  }

  const Epilogue& epilogue() const { return epilogue_; }
  const std::string& isa() const { return isa_; }

  template <class Plan>
  std::unique_ptr<Layer> layer(const Plan& plan, Kernel<Plan> Kernels::* kernel) const {
    if (!is_usable(isa_)) {
      finish();
      shapes_of(isa_);  // Refuses what does not run elsewhere either.
      return std::make_unique<ForeignLayer>(geometry(), isa_, keep_);
    }
    return layer(plan, kernels_of(isa_).*kernel);
  }
  template <class Plan>
  std::unique_ptr<Layer> layer(const Plan& plan, const Kernel<Plan>& kernel) const {
    finish();
    return std::make_unique<PackedLayer<Plan>>(plan, kernel, keep_);
  }

 private:
  std::string isa_;
  std::shared_ptr<const void> keep_;
  Epilogue epilogue_;
};

// Arrays 1 to 6 of a packed sparse matrix with weights for each of `positions`.
template <class Weight>
SparseLists<Weight> lists_of(Parts& parts, int inputs, int rows, int chunk, int group,
                             int positions) {
  require_range("chunk", chunk, 1, 65535);
  check_group(group, most_group<Weight>);
  const int chunks = (inputs + chunk - 1) / chunk;
  const int groups = (rows + group - 1) / group;
  const int64_t slots = static_cast<int64_t>(chunks) * groups;
  SparseLists<Weight> lists{};
  lists.inputs = inputs, lists.rows = rows;
  lists.chunk = chunk, lists.chunks = chunks;
  lists.group = group, lists.groups = groups;
  lists.row = parts.array<int32_t>("row", slots * group);
  lists.count = parts.array<uint16_t>("count", slots * loops(group));
  lists.entry_start = parts.array<int64_t>("entry_start", slots);
  lists.weight_start = parts.array<int64_t>("weight_start", slots);
  const Span<uint16_t> index = parts.array<uint16_t>("index");
  const Span<Weight> weight = parts.array<Weight>("weight");
  lists.live = weight.count / positions;
  Parts::require_count("weight", weight.count, lists.live * positions);
  lists.index = index.data, lists.weight = weight.data;
  check(lists, index.count);
  return lists;
}

// A plan of gathered columns: what spmm and pairs have in common.
template <class Plan, class Weight>
Plan gathered(Parts& parts) {
  const Geometry& g = parts.geometry();
  const Span<int32_t> channel = parts.array<int32_t>("channel");
  const int64_t columns = channel.count;
  Plan plan{};
  plan.geometry = g, plan.epilogue = parts.epilogue();
  plan.channel = channel.data, plan.tap = parts.array<uint16_t>("tap", columns);
  plan.plain = is_plain(g) && columns == g.in_channels;
  const int chunk = parts.size("chunk"), group = parts.size("group");
  plan.vectors = parts.size("vectors");
  if constexpr (requires { plan.in_place; }) plan.in_place = parts.flag("in_place");
  check(plan, columns);
  plan.lists = lists_of<Weight>(parts, static_cast<int>(columns), g.out_channels, chunk, group, 1);
  return plan;
}

std::unique_ptr<Layer> spmm(Parts& parts) {
  return parts.layer(gathered<SpmmPlan, float>(parts), &Kernels::spmm);
}

std::unique_ptr<Layer> pairs(Parts& parts) {
  const PairPlan plan = gathered<PairPlan, int32_t>(parts);
  if (const Kernel<PairPlan>* beyond = pairs_beyond(parts.isa())) return parts.layer(plan, *beyond);
  return parts.layer(plan, &Kernels::pairs);
}

std::unique_ptr<Layer> winograd(Parts& parts) {
  const Geometry& g = parts.geometry();
  const int chunk = parts.size("chunk"), group = parts.size("group");
  WinogradPlan plan{.geometry = g,
                    .epilogue = parts.epilogue(),
                    .lists = {},
                    .vectors = parts.size("vectors"),
                    .output = parts.size("output")};
  check(plan);
  const int positions = (plan.output + 2) * (plan.output + 2);
  plan.lists = lists_of<float>(parts, g.in_channels, g.out_channels, chunk, group, positions);
  return parts.layer(plan, &Kernels::winograd);
}

std::unique_ptr<Layer> direct(Parts& parts) {
  const Geometry& g = parts.geometry();
  const int64_t* start = parts.array<int64_t>("start", static_cast<int64_t>(g.out_channels) + 1);
  const Span<int32_t> index = parts.array<int32_t>("index");
  const int64_t weights = index.count * g.kernel_y * g.kernel_x;
  const DirectPlan plan{.geometry = g,
                        .epilogue = parts.epilogue(),
                        .rows = parts.size("rows"),
                        .vectors = parts.size("vectors"),
                        .start = start,
                        .index = index.data,
                        .weight = parts.array<float>("weight", weights)};
  check(plan, index.count);
  return parts.layer(plan, &Kernels::direct);
}

std::unique_ptr<Layer> taps(Parts& parts) {
  const Geometry& g = parts.geometry();
  const int64_t* start = parts.array<int64_t>("start", static_cast<int64_t>(g.out_channels) + 1);
  const Span<int32_t> offset = parts.array<int32_t>("offset");
  const TapsPlan plan{.geometry = g,
                      .epilogue = parts.epilogue(),
                      .rows = parts.size("rows"),
                      .vectors = parts.size("vectors"),
                      .flat = parts.flag("flat"),
                      .start = start,
                      .offset = offset.data,
                      .weight = parts.array<float>("weight", offset.count)};
  check(plan, offset.count);
  return parts.layer(plan, &Kernels::taps);
}

std::unique_ptr<Layer> gemv(Parts& parts) {
  const Geometry& g = parts.geometry();
  const Span<int32_t> row = parts.array<int32_t>("row");
  const Span<int64_t> start = parts.array<int64_t>("start");
  const Span<uint16_t> index = parts.array<uint16_t>("index");
  const Span<float> weight = parts.array<float>("weight");
  const int chunk = parts.size("chunk");
  require_range("chunk", chunk, 1, UINT16_MAX);
  const int lanes = shapes_of(parts.isa()).lanes;
  const GemvPlan plan{.geometry = g,
                      .epilogue = parts.epilogue(),
                      .lanes = lanes,
                      .group = parts.size("group"),
                      .chunk = chunk,
                      .chunks = (g.in_channels + chunk - 1) / chunk,
                      .slices = static_cast<int>(std::min<int64_t>(row.count / lanes, INT32_MAX)),
                      .row = row.data,
                      .start = start.data,
                      .index = index.data,
                      .weight = weight.data};
  check(plan, row.count, start.count, index.count, weight.count);
  return parts.layer(plan, &Kernels::gemv);
}

std::unique_ptr<Layer> dense_gemv(Parts& parts) {
  const Span<float> weight = parts.array<float>("weight");
  const DenseGemvPlan plan{
      .geometry = parts.geometry(), .epilogue = parts.epilogue(), .weight = weight.data};
  check(plan, weight.count);
  return parts.layer(plan, &Kernels::dense_gemv);
}

std::unique_ptr<Layer> dense(Parts& parts) {
  const Span<int32_t> channel = parts.array<int32_t>("channel");
  const uint16_t* tap = parts.array<uint16_t>("tap", channel.count);
  require_range("len(channel)", channel.count, 1, INT32_MAX);
  const Span<float> weight = parts.array<float>("weight");
  const DensePlan plan{.geometry = parts.geometry(),
                       .epilogue = parts.epilogue(),
                       .inputs = static_cast<int>(channel.count),
                       .channel = channel.data,
                       .tap = tap,
                       .weight = weight.data,
                       .group = parts.size("group"),
                       .vectors = parts.size("vectors"),
                       .in_place = parts.flag("in_place")};
  check(plan, weight.count);
  return parts.layer(plan, &Kernels::dense);
}

std::unique_ptr<Layer> depthwise(Parts& parts) {
  const int64_t filters = parts.geometry().out_channels;
  const int32_t* channel = parts.array<int32_t>("channel", filters);
  const int64_t* start = parts.array<int64_t>("start", filters + 1);
  const Span<uint16_t> tap = parts.array<uint16_t>("tap");
  const DepthwisePlan plan{.geometry = parts.geometry(),
                           .epilogue = parts.epilogue(),
                           .channel = channel,
                           .start = start,
                           .tap = tap.data,
                           .weight = parts.array<float>("weight", tap.count)};
  check(plan, tap.count);
  return parts.layer(plan, &Kernels::depthwise);
}

struct Maker {
  const char* kernel;
  std::unique_ptr<Layer> (*make)(Parts&);
};

constexpr Maker makers[] = {
    {"spmm", spmm},     {"pairs", pairs},         {"winograd", winograd},
    {"direct", direct}, {"taps", taps},           {"gemv", gemv},
    {"dense", dense},   {"depthwise", depthwise}, {"dense_gemv", dense_gemv}};

}  // namespace

std::unique_ptr<Layer> make_layer(const std::string& isa, Packing packing,
                                  std::shared_ptr<const void> keep) {
  for (const Maker& maker : makers) {
    if (packing.kernel != maker.kernel) continue;
    Parts parts(isa, packing, std::move(keep));
    std::unique_ptr<Layer> layer = maker.make(parts);
    layer->remember(std::make_shared<const Packing>(std::move(packing)));
    return layer;
  }
  fail("there is no kernel '", packing.kernel, "'");
}

}  // namespace openwork
