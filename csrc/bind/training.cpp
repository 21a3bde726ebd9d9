// Layers for training: forward and input gradient with the weights of each call, gradients of live
// weights, and the phases of a strided layer's input gradient.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "../isa.h"
#include "../trainable.h"
#include "arrays.h"
#include "bind.h"

namespace openwork {

namespace {

using Order = Array<int32_t>;
using Steps = Array<int32_t>;
using Taps = std::optional<Array<int32_t>>;
using Values = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// A packed layer's gradient of live weights.
class Sampled {
 public:
  virtual ~Sampled() = default;
  virtual const Geometry& geometry() const = 0;
  virtual int64_t live() const = 0;
  virtual int64_t workspace(int batch, int threads) const = 0;
  virtual void run(const SampledRun& run) const = 0;
};

template <class Plan>
class SampledLayer final : public Sampled {
 public:
  SampledLayer(const Plan& plan, int64_t live, const Kernel<Plan, SampledRun>& kernel,
               std::shared_ptr<const void> arrays)
      : plan_(plan), live_(live), kernel_(kernel), arrays_(std::move(arrays)) {
    if (const char* reason = kernel.refusal(plan)) throw std::invalid_argument(reason);
  }

  const Geometry& geometry() const override { return plan_.geometry; }
  int64_t live() const override { return live_; }
  int64_t workspace(int batch, int threads) const override {
    return kernel_.workspace(plan_, batch, threads);
  }
  void run(const SampledRun& run) const override { kernel_.run(plan_, run); }

 private:
  Plan plan_;
  int64_t live_;
  Kernel<Plan, SampledRun> kernel_;
  std::shared_ptr<const void> arrays_;
};

template <class Plan>
std::unique_ptr<Trainable> trainable(const Plan& plan, const Refill& fill, const std::string& isa,
                                     const Kernel<Plan>& kernel,
                                     std::shared_ptr<const void> arrays) {
  return std::make_unique<TrainableLayer<Plan>>(plan, fill, kernel, kernels_of(isa).training,
                                                std::move(arrays));
}

// Weights that are packed one by one, or kernel by kernel if there are `step`s from tap to tap.
Refill plain_refill(const Order& order, const Steps& step, int64_t live) {
  require_range("len(step)", static_cast<int64_t>(step.size()), 1, most_taps);
  const int taps = static_cast<int>(step.size());
  const Refill fill{.order = order.data(),
                    .packed = static_cast<int64_t>(order.size()) * taps,
                    .live = live,
                    .whole = {.taps = taps,
                              .step = step.data(),
                              .count = nullptr,
                              .weight_start = nullptr,
                              .slots = 0,
                              .masks = 0},
                    .tap = nullptr,
                    .flipped = false,
                    .output = 0};
  check(fill, 0, 0);
  return fill;
}

// The same for a kernel that packs `taps` weights.
Refill plain_refill(const Order& order, const Steps& step, int64_t live, int64_t taps) {
  const Refill fill = plain_refill(order, step, live);
  if (fill.packed != taps)
    fail("`order` and `step` stand for ", fill.packed, " of ", taps, " taps");
  return fill;
}

std::unique_ptr<Trainable> make_spmm(const std::string& isa, const Geometry& g,
                                     const ListIndices& indices, const Order& order,
                                     const Steps& step, const Array<int32_t>& channel,
                                     const Array<uint16_t>& tap, int64_t live, int chunk, int group,
                                     int vectors, bool in_place) {
  const int64_t columns = static_cast<int64_t>(channel.size());
  require_size("tap", tap, columns);
  SpmmPlan plan{.geometry = g,
                .epilogue = {},
                .lists = {},
                .channel = channel.data(),
                .tap = tap.data(),
                .plain = is_plain(g) && columns == g.in_channels,
                .vectors = vectors,
                .in_place = in_place};
  check(plan, columns);
  Refill fill = plain_refill(order, step, live);
  plan.lists = indices.view(static_cast<int>(columns), g.out_channels, chunk, group, fill.packed);
  fill.whole.count = plan.lists.count;
  fill.whole.weight_start = plan.lists.weight_start;
  fill.whole.slots = static_cast<int64_t>(plan.lists.chunks) * plan.lists.groups;
  fill.whole.masks = (1 << group) - 1;
  check(fill, 0, 0);
  return trainable(plan, fill, isa, kernels_of(isa).spmm, keep(indices, order, step, channel, tap));
}

std::unique_ptr<Trainable> make_winograd(const std::string& isa, const Geometry& g,
                                         const ListIndices& indices, const Order& order,
                                         const Taps& tap, int64_t live, int64_t connections,
                                         bool flipped, int chunk, int group, int vectors,
                                         int output) {
  WinogradPlan plan{
      .geometry = g, .epilogue = {}, .lists = {}, .vectors = vectors, .output = output};
  check(plan);
  const Refill fill{.order = order.data(),
                    .packed = static_cast<int64_t>(order.size()),
                    .live = live,
                    .whole = {.taps = 1,
                              .step = nullptr,
                              .count = nullptr,
                              .weight_start = nullptr,
                              .slots = 0,
                              .masks = 0},
                    .tap = tap ? tap->data() : nullptr,
                    .flipped = flipped,
                    .output = output};
  require_range("connections", connections, 0, INT32_MAX);
  check(fill, connections, tap ? static_cast<int64_t>(tap->size()) : 0);
  plan.lists = indices.view(g.in_channels, g.out_channels, chunk, group, fill.packed);
  return trainable(plan, fill, isa, kernels_of(isa).winograd, keep(indices, order, tap));
}

std::unique_ptr<Trainable> make_direct(const std::string& isa, const Geometry& g,
                                       const Array<int64_t>& start, const Array<int32_t>& index,
                                       const Order& order, const Steps& step, int64_t live,
                                       int rows, int vectors) {
  const int64_t connections = static_cast<int64_t>(index.size());
  require_size("start", start, g.out_channels + 1);
  require_size("order", order, connections);
  require_size("step", step, g.kernel_y * g.kernel_x);
  const DirectPlan plan{.geometry = g,
                        .epilogue = {},
                        .rows = rows,
                        .vectors = vectors,
                        .start = start.data(),
                        .index = index.data(),
                        .weight = nullptr};
  check(plan, connections);
  return trainable(plan, plain_refill(order, step, live), isa, kernels_of(isa).direct,
                   keep(start, index, order, step));
}

std::unique_ptr<Trainable> make_taps(const std::string& isa, const Geometry& g,
                                     const Array<int64_t>& start, const Array<int32_t>& offset,
                                     const Order& order, const Steps& step, int64_t live, int rows,
                                     int vectors, bool flat) {
  const int64_t taps = static_cast<int64_t>(offset.size());
  require_size("start", start, g.out_channels + 1);
  const TapsPlan plan{.geometry = g,
                      .epilogue = {},
                      .rows = rows,
                      .vectors = vectors,
                      .flat = flat,
                      .start = start.data(),
                      .offset = offset.data(),
                      .weight = nullptr};
  check(plan, taps);
  const Refill fill = plain_refill(order, step, live, taps);
  return trainable(plan, fill, isa, kernels_of(isa).taps, keep(start, offset, order, step));
}

std::unique_ptr<Trainable> make_depthwise(const std::string& isa, const Geometry& g,
                                          const Array<int32_t>& channel,
                                          const Array<int64_t>& start, const Array<uint16_t>& tap,
                                          const Order& order, const Steps& step, int64_t live) {
  const int64_t taps = static_cast<int64_t>(tap.size());
  require_size("channel", channel, g.out_channels);
  require_size("start", start, g.out_channels + 1);
  const DepthwisePlan plan{.geometry = g,
                           .epilogue = {},
                           .channel = channel.data(),
                           .start = start.data(),
                           .tap = tap.data(),
                           .weight = nullptr};
  check(plan, taps);
  const Refill fill = plain_refill(order, step, live, taps);
  return trainable(plan, fill, isa, kernels_of(isa).depthwise,
                   keep(channel, start, tap, order, step));
}

std::unique_ptr<Trainable> make_transposed_depthwise(const std::string& isa, const Geometry& g,
                                                     const Array<int32_t>& filter,
                                                     const Array<int32_t>& kernel,
                                                     const Order& order, const Steps& step,
                                                     int64_t live) {
  require_size("filter", filter, g.in_channels);
  require_size("kernel", kernel, g.in_channels);
  require_size("step", step, g.kernel_y * g.kernel_x);
  const TransposedDepthwisePlan plan{.geometry = g,
                                     .epilogue = {},
                                     .filter = filter.data(),
                                     .kernel = kernel.data(),
                                     .weight = nullptr};
  check(plan, static_cast<int64_t>(order.size()));
  return trainable(plan, plain_refill(order, step, live), isa, kernels_of(isa).transposed_depthwise,
                   keep(filter, kernel, order, step));
}

Samples samples_of(const Array<int32_t>& bound, const Array<uint16_t>& index, int64_t inputs,
                   int rows, int64_t chunk) {
  require_range("chunk", chunk, 1, 65535);
  const Samples samples{.inputs = static_cast<int>(inputs),
                        .rows = rows,
                        .chunk = static_cast<int>(chunk),
                        .chunks = static_cast<int>((inputs + chunk - 1) / chunk),
                        .live = static_cast<int64_t>(index.size()),
                        .bound = bound.data(),
                        .index = index.data()};
  check(samples, static_cast<int64_t>(bound.size()));
  return samples;
}

std::unique_ptr<Sampled> make_sampled_spmm(const std::string& isa, const Geometry& g,
                                           const Array<int32_t>& bound,
                                           const Array<uint16_t>& index,
                                           const Array<int32_t>& channel,
                                           const Array<uint16_t>& tap, int64_t chunk, int vectors,
                                           bool in_place) {
  const int64_t columns = static_cast<int64_t>(channel.size());
  require_size("tap", tap, columns);
  SampledSpmmPlan plan{.geometry = g,
                       .samples = {},
                       .channel = channel.data(),
                       .tap = tap.data(),
                       .vectors = vectors,
                       .in_place = in_place};
  check(plan, columns);
  plan.samples = samples_of(bound, index, columns, g.out_channels, chunk);
  return std::make_unique<SampledLayer<SampledSpmmPlan>>(
      plan, plan.samples.live, kernels_of(isa).sampled_spmm, keep(bound, index, channel, tap));
}

std::unique_ptr<Sampled> make_sampled_winograd(const std::string& isa, const Geometry& g,
                                               const Array<int32_t>& bound,
                                               const Array<uint16_t>& index, const Taps& tap,
                                               int64_t live, int64_t chunk, int vectors) {
  const SampledWinogradPlan plan{
      .geometry = g,
      .samples = samples_of(bound, index, g.in_channels, g.out_channels, chunk),
      .tap = tap ? tap->data() : nullptr,
      .live = live,
      .vectors = vectors};
  check(plan, tap ? static_cast<int64_t>(tap->size()) : 0);
  return std::make_unique<SampledLayer<SampledWinogradPlan>>(
      plan, live, kernels_of(isa).sampled_winograd, keep(bound, index, tap));
}

std::unique_ptr<Sampled> make_sampled_direct(const std::string& isa, const Geometry& g,
                                             const Array<int32_t>& bound,
                                             const Array<uint16_t>& index) {
  const SampledDirectPlan plan{
      .geometry = g,
      .samples = samples_of(bound, index, g.in_channels, g.out_channels, g.in_channels)};
  check(plan);
  return std::make_unique<SampledLayer<SampledDirectPlan>>(
      plan, 9 * plan.samples.live, kernels_of(isa).sampled_direct, keep(bound, index));
}

std::unique_ptr<Sampled> make_sampled_depthwise(const std::string& isa, const Geometry& g,
                                                const Array<int32_t>& filter,
                                                const Array<int32_t>& channel) {
  const int64_t connections = static_cast<int64_t>(filter.size());
  require_range("len(filter)", connections, 0, INT32_MAX);
  require_size("channel", channel, connections);
  const SampledDepthwisePlan plan{.geometry = g,
                                  .connections = static_cast<int>(connections),
                                  .filter = filter.data(),
                                  .channel = channel.data()};
  check(plan);
  return std::make_unique<SampledLayer<SampledDepthwisePlan>>(
      plan, connections * g.kernel_y * g.kernel_x, kernels_of(isa).sampled_depthwise,
      keep(filter, channel));
}

void run_trainable(const Trainable& layer, const Array<float>& values, const Input& input,
                   const Output& output, const Bias& bias, const Workspace& workspace,
                   int threads) {
  const Geometry& g = layer.geometry();
  const int batch = checked_batch(g, input, threads);
  check_shape("output", output, batch, g.out_channels, g.out_height, g.out_width);
  require_size("values", values, layer.refill().live);
  if (bias) require_size("bias", *bias, g.out_channels);
  check_workspace(workspace, layer.workspace(batch, threads));
  const Run run{.input = input.data(),
                .residual = nullptr,
                .output = output.data(),
                .in_image = image_in(g),
                .out_image = image_out(g),
                .workspace = workspace.data(),
                .batch = batch,
                .threads = threads};
  nb::gil_scoped_release release;
  layer.run(run, values.data(), bias ? bias->data() : nullptr);
}

void run_sampled(const Sampled& layer, const Input& input, const Input& gradient,
                 const Values& output, const Workspace& workspace, int threads) {
  const Geometry& g = layer.geometry();
  const int batch = checked_batch(g, input, threads);
  check_shape("gradient", gradient, batch, g.out_channels, g.out_height, g.out_width);
  if (static_cast<int64_t>(output.size()) != layer.live())
    fail("`output` has ", output.size(), " entries, but needs ", layer.live());
  check_workspace(workspace, layer.workspace(batch, threads));
  const SampledRun run{.input = input.data(),
                       .gradient = gradient.data(),
                       .output = output.data(),
                       .in_image = image_in(g),
                       .out_image = image_out(g),
                       .workspace = workspace.data(),
                       .batch = batch,
                       .threads = threads};
  nb::gil_scoped_release release;
  layer.run(run);
}

using PhaseArray = std::tuple<std::optional<Input>, int, int>;

void interleave(const std::string& isa, const std::vector<PhaseArray>& phases, const Output& output,
                int stride_y, int stride_x, int threads) {
  require_range("stride_y", stride_y, 1, most_reach);
  require_range("stride_x", stride_x, 1, most_reach);
  require_range("len(phases)", static_cast<int64_t>(phases.size()), stride_y * stride_x,
                stride_y * stride_x);
  const int64_t batch = static_cast<int64_t>(output.shape(0));
  check_call(batch, threads);
  for (size_t axis = 1; axis < 4; ++axis)
    require_range("output", static_cast<int64_t>(output.shape(axis)), 1, most_size);
  const int channels = static_cast<int>(output.shape(1));
  std::vector<Phase> all;
  for (const auto& [array, top, left] : phases) {
    Phase phase{.from = nullptr, .height = 0, .width = 0, .top = top, .left = left};
    if (array) {
      for (size_t axis = 2; axis < 4; ++axis)
        require_range("phase", static_cast<int64_t>(array->shape(axis)), 1, 2 * most_size);
      phase.height = static_cast<int>(array->shape(2));
      phase.width = static_cast<int>(array->shape(3));
      check_shape("phase", *array, batch, channels, phase.height, phase.width);
      phase.from = array->data();
    }
    all.push_back(phase);
  }
  const Interleave job{.phases = all.data(),
                       .stride_y = stride_y,
                       .stride_x = stride_x,
                       .maps = batch * channels,
                       .height = static_cast<int>(output.shape(2)),
                       .width = static_cast<int>(output.shape(3)),
                       .output = output.data()};
  check(job);
  const auto run = kernels_of(isa).training.interleave;
  nb::gil_scoped_release release;
  run(job, threads);
}

}  // namespace

void bind_training(nb::module_& m) {
  using namespace nb::literals;

  nb::class_<Trainable>(m, "Trainable",
                        "A packed layer that is given its live weights on each call.")
      .def("run", run_trainable, "values"_a.noconvert(), "input"_a.noconvert(),
           "output"_a.noconvert(), "bias"_a.noconvert().none(), "workspace"_a.noconvert(),
           "threads"_a, "Write convolution + bias to `output`, all NCHW float32.")
      .def("workspace", workspace_of<Trainable>, "batch"_a, "threads"_a,
           "Floats that `run` needs as workspace.");

  nb::class_<Sampled>(m, "Sampled", "A packed layer's gradient of its live weights.")
      .def("run", run_sampled, "input"_a.noconvert(), "gradient"_a.noconvert(),
           "output"_a.noconvert(), "workspace"_a.noconvert(), "threads"_a,
           "Write the gradient of each live weight, in canonical order, to `output`.")
      .def("workspace", workspace_of<Sampled>, "batch"_a, "threads"_a,
           "Floats that `run` needs as workspace.");

  nb::class_<ListIndices>(m, "ListIndices", "Arrays 1 to 5 of a packed sparse matrix.")
      .def(
          "__init__",
          [](ListIndices* self, const Array<int32_t>& row, const Array<uint16_t>& count,
             const Array<int64_t>& entry_start, const Array<int64_t>& weight_start,
             const Array<uint16_t>& index) {
            new (self) ListIndices{row, count, entry_start, weight_start, index};
          },
          "row"_a.noconvert(), "count"_a.noconvert(), "entry_start"_a.noconvert(),
          "weight_start"_a.noconvert(), "index"_a.noconvert(),
          "Holds the arrays; they are checked when a layer is made of them.");

  m.def("trainable_spmm", make_spmm, "isa"_a, "geometry"_a, "lists"_a, "order"_a.noconvert(),
        "step"_a.noconvert(), "channel"_a.noconvert(), "tap"_a.noconvert(), nb::kw_only(), "live"_a,
        "chunk"_a, "group"_a, "vectors"_a, "in_place"_a, "`spmm` with the weights of each call.");
  m.def("trainable_winograd", make_winograd, "isa"_a, "geometry"_a, "lists"_a,
        "order"_a.noconvert(), "tap"_a.noconvert().none(), nb::kw_only(), "live"_a, "connections"_a,
        "flipped"_a, "chunk"_a, "group"_a, "vectors"_a, "output"_a,
        "`winograd` with the weights of each call.");
  m.def("trainable_direct", make_direct, "isa"_a, "geometry"_a, "start"_a.noconvert(),
        "index"_a.noconvert(), "order"_a.noconvert(), "step"_a.noconvert(), nb::kw_only(), "live"_a,
        "rows"_a, "vectors"_a, "`direct` with the weights of each call.");
  m.def("trainable_taps", make_taps, "isa"_a, "geometry"_a, "start"_a.noconvert(),
        "offset"_a.noconvert(), "order"_a.noconvert(), "step"_a.noconvert(), nb::kw_only(),
        "live"_a, "rows"_a, "vectors"_a, "flat"_a, "`taps` with the weights of each call.");
  m.def("trainable_depthwise", make_depthwise, "isa"_a, "geometry"_a, "channel"_a.noconvert(),
        "start"_a.noconvert(), "tap"_a.noconvert(), "order"_a.noconvert(), "step"_a.noconvert(),
        nb::kw_only(), "live"_a, "`depthwise` with the weights of each call.");
  m.def("transposed_depthwise", make_transposed_depthwise, "isa"_a, "geometry"_a,
        "filter"_a.noconvert(), "kernel"_a.noconvert(), "order"_a.noconvert(), "step"_a.noconvert(),
        nb::kw_only(), "live"_a, "The input's gradient of a depthwise layer with stride 2.");
  m.def("sampled_spmm", make_sampled_spmm, "isa"_a, "geometry"_a, "bound"_a.noconvert(),
        "index"_a.noconvert(), "channel"_a.noconvert(), "tap"_a.noconvert(), nb::kw_only(),
        "chunk"_a, "vectors"_a, "in_place"_a, "The weight's gradient of any convolution.");
  m.def("sampled_winograd", make_sampled_winograd, "isa"_a, "geometry"_a, "bound"_a.noconvert(),
        "index"_a.noconvert(), "tap"_a.noconvert().none(), nb::kw_only(), "live"_a, "chunk"_a,
        "vectors"_a, "The weight's gradient of a 3x3 convolution with stride 1.");
  m.def("sampled_direct", make_sampled_direct, "isa"_a, "geometry"_a, "bound"_a.noconvert(),
        "index"_a.noconvert(), "The weight's gradient of whole 3x3 kernels with stride 1.");
  m.def("sampled_depthwise", make_sampled_depthwise, "isa"_a, "geometry"_a, "filter"_a.noconvert(),
        "channel"_a.noconvert(), "The weight's gradient of whole kernels, one by one.");
  m.def("interleave", interleave, "isa"_a, "phases"_a, "output"_a.noconvert(), nb::kw_only(),
        "stride_y"_a, "stride_x"_a, "threads"_a,
        "Put (array or None, top, left) of each phase together into `output`.");
}

}  // namespace openwork
