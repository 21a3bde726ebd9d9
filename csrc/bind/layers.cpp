// One function per kernel, which checks a packed layer and keeps its arrays alive.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "../checks.h"
#include "../isa.h"
#include "../layer.h"
#include "../linear.h"
#include "arrays.h"
#include "bind.h"

namespace openwork {

namespace {

Epilogue epilogue_of(const Geometry& geometry, const Bias& bias, Activation activation) {
  if (bias) require_size("bias", *bias, geometry.out_channels);
  return {bias ? bias->data() : nullptr, activation};
}

template <class Plan>
std::unique_ptr<Layer> packed(const Plan& plan, const Kernel<Plan>& kernel,
                              std::shared_ptr<const void> arrays) {
  return std::make_unique<PackedLayer<Plan>>(plan, kernel, std::move(arrays));
}

// Arrays 1 to 6 of a packed sparse matrix.
struct ListArrays {
  ListIndices indices;
  Array<float> weight;

  Lists view(int inputs, int rows, int chunk, int group, int positions) const {
    const int64_t live = static_cast<int64_t>(weight.size()) / positions;
    require_size("weight", weight, live * positions);
    Lists lists = indices.view(inputs, rows, chunk, group, live);
    lists.weight = weight.data();
    return lists;
  }
};

std::unique_ptr<Layer> make_spmm(const std::string& isa, const Geometry& g, const Bias& bias,
                                 Activation activation, const ListArrays& arrays,
                                 const Array<int32_t>& channel, const Array<uint16_t>& tap,
                                 int chunk, int group, int vectors, bool in_place) {
  const int64_t columns = static_cast<int64_t>(channel.size());
  require_size("tap", tap, columns);
  SpmmPlan plan{.geometry = g,
                .epilogue = epilogue_of(g, bias, activation),
                .lists = {},
                .channel = channel.data(),
                .tap = tap.data(),
                .plain = is_plain(g) && columns == g.in_channels,
                .vectors = vectors,
                .in_place = in_place};
  check(plan, columns);
  plan.lists = arrays.view(static_cast<int>(columns), g.out_channels, chunk, group, 1);
  return packed(plan, kernels_of(isa).spmm, keep(arrays, bias, channel, tap));
}

std::unique_ptr<Layer> make_winograd(const std::string& isa, const Geometry& geometry,
                                     const Bias& bias, Activation activation,
                                     const ListArrays& arrays, int chunk, int group, int vectors,
                                     int output) {
  WinogradPlan plan{.geometry = geometry,
                    .epilogue = epilogue_of(geometry, bias, activation),
                    .lists = {},
                    .vectors = vectors,
                    .output = output};
  check(plan);
  const int positions = (output + 2) * (output + 2);
  plan.lists = arrays.view(geometry.in_channels, geometry.out_channels, chunk, group, positions);
  return packed(plan, kernels_of(isa).winograd, keep(arrays, bias));
}

std::unique_ptr<Layer> make_direct(const std::string& isa, const Geometry& geometry,
                                   const Bias& bias, Activation activation,
                                   const Array<int64_t>& start, const Array<int32_t>& index,
                                   const Array<float>& weight, int rows, int vectors) {
  const int64_t connections = static_cast<int64_t>(index.size());
  require_size("start", start, geometry.out_channels + 1);
  require_size("weight", weight, connections * geometry.kernel_y * geometry.kernel_x);
  const DirectPlan plan{.geometry = geometry,
                        .epilogue = epilogue_of(geometry, bias, activation),
                        .rows = rows,
                        .vectors = vectors,
                        .start = start.data(),
                        .index = index.data(),
                        .weight = weight.data()};
  check(plan, connections);
  return packed(plan, kernels_of(isa).direct, keep(bias, start, index, weight));
}

std::unique_ptr<Layer> make_taps(const std::string& isa, const Geometry& geometry, const Bias& bias,
                                 Activation activation, const Array<int64_t>& start,
                                 const Array<int32_t>& offset, const Array<float>& weight, int rows,
                                 int vectors, bool flat) {
  const int64_t taps = static_cast<int64_t>(offset.size());
  require_size("start", start, geometry.out_channels + 1);
  require_size("weight", weight, taps);
  const TapsPlan plan{.geometry = geometry,
                      .epilogue = epilogue_of(geometry, bias, activation),
                      .rows = rows,
                      .vectors = vectors,
                      .flat = flat,
                      .start = start.data(),
                      .offset = offset.data(),
                      .weight = weight.data()};
  check(plan, taps);
  return packed(plan, kernels_of(isa).taps, keep(bias, start, offset, weight));
}

std::unique_ptr<Layer> make_gemv(const std::string& isa, const Geometry& geometry, const Bias& bias,
                                 Activation activation, const Array<int32_t>& row,
                                 const Array<int64_t>& start, const Array<uint16_t>& index,
                                 const Array<float>& weight, int chunk, int group) {
  require_range("chunk", chunk, 1, UINT16_MAX);
  const Kernels& kernels = kernels_of(isa);
  const int64_t rows = static_cast<int64_t>(row.size());
  const GemvPlan plan{.geometry = geometry,
                      .epilogue = epilogue_of(geometry, bias, activation),
                      .lanes = kernels.lanes,
                      .group = group,
                      .chunk = chunk,
                      .chunks = (geometry.in_channels + chunk - 1) / chunk,
                      .slices = static_cast<int>(rows / kernels.lanes),
                      .row = row.data(),
                      .start = start.data(),
                      .index = index.data(),
                      .weight = weight.data()};
  check(plan, rows, static_cast<int64_t>(start.size()), static_cast<int64_t>(index.size()),
        static_cast<int64_t>(weight.size()));
  return packed(plan, kernels.gemv, keep(bias, row, start, index, weight));
}

std::unique_ptr<Layer> make_dense_gemv(const std::string& isa, const Geometry& geometry,
                                       const Bias& bias, Activation activation,
                                       const Array<float>& weight) {
  const DenseGemvPlan plan{.geometry = geometry,
                           .epilogue = epilogue_of(geometry, bias, activation),
                           .weight = weight.data()};
  check(plan, static_cast<int64_t>(weight.size()));
  return packed(plan, kernels_of(isa).dense_gemv, keep(bias, weight));
}

std::unique_ptr<Layer> make_dense(const std::string& isa, const Geometry& geometry,
                                  const Bias& bias, Activation activation,
                                  const Array<int32_t>& channel, const Array<uint16_t>& tap,
                                  const Array<float>& weight, int group, int vectors,
                                  bool in_place) {
  require_size("tap", tap, static_cast<int64_t>(channel.size()));
  require_range("len(channel)", static_cast<int64_t>(channel.size()), 1, INT32_MAX);
  const DensePlan plan{.geometry = geometry,
                       .epilogue = epilogue_of(geometry, bias, activation),
                       .inputs = static_cast<int>(channel.size()),
                       .channel = channel.data(),
                       .tap = tap.data(),
                       .weight = weight.data(),
                       .group = group,
                       .vectors = vectors,
                       .in_place = in_place};
  check(plan, static_cast<int64_t>(weight.size()));
  return packed(plan, kernels_of(isa).dense, keep(bias, channel, tap, weight));
}

std::unique_ptr<Layer> make_depthwise(const std::string& isa, const Geometry& geometry,
                                      const Bias& bias, Activation activation,
                                      const Array<int32_t>& channel, const Array<int64_t>& start,
                                      const Array<uint16_t>& tap, const Array<float>& weight) {
  const int64_t taps = static_cast<int64_t>(tap.size());
  require_size("channel", channel, geometry.out_channels);
  require_size("start", start, geometry.out_channels + 1);
  require_size("weight", weight, taps);
  const DepthwisePlan plan{.geometry = geometry,
                           .epilogue = epilogue_of(geometry, bias, activation),
                           .channel = channel.data(),
                           .start = start.data(),
                           .tap = tap.data(),
                           .weight = weight.data()};
  check(plan, taps);
  return packed(plan, kernels_of(isa).depthwise, keep(bias, channel, start, tap, weight));
}

void run(const Layer& layer, const Input& input, const Output& output,
         const std::optional<Input>& residual, const Workspace& workspace, int threads) {
  const Geometry& g = layer.geometry();
  const int batch = checked_batch(g, input, threads);
  check_shape("output", output, batch, g.out_channels, g.out_height, g.out_width);
  if (residual)
    check_shape("residual", *residual, batch, g.out_channels, g.out_height, g.out_width);
  check_workspace(workspace, layer.workspace(batch, threads));
  const Run run{.input = input.data(),
                .residual = residual ? residual->data() : nullptr,
                .output = output.data(),
                .in_image = image_in(g),
                .out_image = image_out(g),
                .workspace = workspace.data(),
                .batch = batch,
                .threads = threads};
  nb::gil_scoped_release release;
  layer.run(run);
}

}  // namespace

void bind_layers(nb::module_& m) {
  using namespace nb::literals;

  // A converted copy of an output or workspace would be written to and thrown away.
  nb::class_<Layer>(m, "Layer", "One packed layer, ready to run; keeps its arrays alive.")
      .def("run", run, "input"_a.noconvert(), "output"_a.noconvert(),
           "residual"_a.noconvert().none(), "workspace"_a.noconvert(), "threads"_a,
           "Write activation(convolution + bias + residual) to `output`, all NCHW float32.")
      .def("workspace", workspace_of<Layer>, "batch"_a, "threads"_a,
           "Floats that `run` needs as workspace.")
      .def_prop_ro("runs_in_bands", &Layer::runs_in_bands,
                   "Whether it can be part of a chain (`Program.chain`).");

  nb::class_<ListArrays>(m, "Lists", "Arrays 1 to 6 of a packed sparse matrix.")
      .def(
          "__init__",
          [](ListArrays* self, const Array<int32_t>& row, const Array<uint16_t>& count,
             const Array<int64_t>& entry_start, const Array<int64_t>& weight_start,
             const Array<uint16_t>& index, const Array<float>& weight) {
            new (self) ListArrays{{row, count, entry_start, weight_start, index}, weight};
          },
          "row"_a.noconvert(), "count"_a.noconvert(), "entry_start"_a.noconvert(),
          "weight_start"_a.noconvert(), "index"_a.noconvert(), "weight"_a.noconvert(),
          "Holds the arrays; they are checked when a layer is made of them.");

  m.def("spmm", make_spmm, "isa"_a, "geometry"_a, "bias"_a.noconvert().none(),
        "activation"_a.noconvert(), "lists"_a, "channel"_a.noconvert(), "tap"_a.noconvert(),
        nb::kw_only(), "chunk"_a, "group"_a, "vectors"_a, "in_place"_a,
        "A convolution as sparse matrix times pixels.");
  m.def("winograd", make_winograd, "isa"_a, "geometry"_a, "bias"_a.noconvert().none(),
        "activation"_a.noconvert(), "lists"_a, nb::kw_only(), "chunk"_a, "group"_a, "vectors"_a,
        "output"_a, "A 3x3 convolution with stride 1, in tiles of `output` x `output` pixels.");
  m.def("direct", make_direct, "isa"_a, "geometry"_a, "bias"_a.noconvert().none(),
        "activation"_a.noconvert(), "start"_a.noconvert(), "index"_a.noconvert(),
        "weight"_a.noconvert(), nb::kw_only(), "rows"_a, "vectors"_a,
        "A convolution by whole live kernels.");
  m.def("taps", make_taps, "isa"_a, "geometry"_a, "bias"_a.noconvert().none(),
        "activation"_a.noconvert(), "start"_a.noconvert(), "offset"_a.noconvert(),
        "weight"_a.noconvert(), nb::kw_only(), "rows"_a, "vectors"_a, "flat"_a,
        "A convolution by single live taps.");
  m.def("gemv", make_gemv, "isa"_a, "geometry"_a, "bias"_a.noconvert().none(),
        "activation"_a.noconvert(), "row"_a.noconvert(), "start"_a.noconvert(),
        "index"_a.noconvert(), "weight"_a.noconvert(), nb::kw_only(), "chunk"_a, "group"_a,
        "A linear layer as sparse matrix times vectors.");
  m.def("dense_gemv", make_dense_gemv, "isa"_a, "geometry"_a, "bias"_a.noconvert().none(),
        "activation"_a.noconvert(), "weight"_a.noconvert(),
        "A linear layer as dense matrix times vectors.");
  m.def("dense", make_dense, "isa"_a, "geometry"_a, "bias"_a.noconvert().none(),
        "activation"_a.noconvert(), "channel"_a.noconvert(), "tap"_a.noconvert(),
        "weight"_a.noconvert(), nb::kw_only(), "group"_a, "vectors"_a, "in_place"_a,
        "A convolution without dead taps as matrix times pixels.");
  m.def("depthwise", make_depthwise, "isa"_a, "geometry"_a, "bias"_a.noconvert().none(),
        "activation"_a.noconvert(), "channel"_a.noconvert(), "start"_a.noconvert(),
        "tap"_a.noconvert(), "weight"_a.noconvert(),
        "A convolution whose filters read one input channel each.");
}

}  // namespace openwork
