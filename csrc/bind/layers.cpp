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
#include <vector>

#include "../checks.h"
#include "../layer.h"
#include "../packed/make_layer.h"
#include "arrays.h"
#include "bind.h"

namespace openwork {

namespace {

template <class T>
Numbers numbers(const Array<T>& array) {
  return Numbers::of(array.data(), static_cast<int64_t>(array.size()));
}

Numbers numbers(const Bias& bias) { return bias ? numbers(*bias) : Numbers::of<float>(nullptr, 0); }

using Sizes = std::vector<int64_t>;

// A layer of what follows its activation: arrays, after the bias.
template <class... Arrays>
std::unique_ptr<Layer> packed(const char* kernel, const std::string& isa, const Geometry& geometry,
                              Activation activation, Sizes sizes, const Bias& bias,
                              const Arrays&... arrays) {
  return make_layer(
      isa, {kernel, geometry, activation, std::move(sizes), {numbers(bias), numbers(arrays)...}},
      keep(bias, arrays...));
}

// Arrays 1 to 6 of a packed sparse matrix.
template <class Weight>
struct SparseArrays {
  ListIndices indices;
  Array<Weight> weight;
};
using ListArrays = SparseArrays<float>;
using PairArrays = SparseArrays<int32_t>;

std::unique_ptr<Layer> make_spmm(const std::string& isa, const Geometry& g, const Bias& bias,
                                 Activation activation, const ListArrays& arrays,
                                 const Array<int32_t>& channel, const Array<uint16_t>& tap,
                                 int chunk, int group, int vectors, bool in_place) {
  const auto& [row, count, entry_start, weight_start, index] = arrays.indices;
  return packed("spmm", isa, g, activation, {chunk, group, vectors, in_place}, bias, channel, tap,
                row, count, entry_start, weight_start, index, arrays.weight);
}

std::unique_ptr<Layer> make_pairs(const std::string& isa, const Geometry& g, const Bias& bias,
                                  Activation activation, const PairArrays& arrays,
                                  const Array<int32_t>& channel, const Array<uint16_t>& tap,
                                  int chunk, int group, int vectors) {
  const auto& [row, count, entry_start, weight_start, index] = arrays.indices;
  return packed("pairs", isa, g, activation, {chunk, group, vectors}, bias, channel, tap, row,
                count, entry_start, weight_start, index, arrays.weight);
}

std::unique_ptr<Layer> make_winograd(const std::string& isa, const Geometry& g, const Bias& bias,
                                     Activation activation, const ListArrays& arrays, int chunk,
                                     int group, int vectors, int output) {
  const auto& [row, count, entry_start, weight_start, index] = arrays.indices;
  return packed("winograd", isa, g, activation, {chunk, group, vectors, output}, bias, row, count,
                entry_start, weight_start, index, arrays.weight);
}

std::unique_ptr<Layer> make_direct(const std::string& isa, const Geometry& g, const Bias& bias,
                                   Activation activation, const Array<int64_t>& start,
                                   const Array<int32_t>& index, const Array<float>& weight,
                                   int rows, int vectors) {
  return packed("direct", isa, g, activation, {rows, vectors}, bias, start, index, weight);
}

std::unique_ptr<Layer> make_taps(const std::string& isa, const Geometry& g, const Bias& bias,
                                 Activation activation, const Array<int64_t>& start,
                                 const Array<int32_t>& offset, const Array<float>& weight, int rows,
                                 int vectors, bool flat) {
  return packed("taps", isa, g, activation, {rows, vectors, flat}, bias, start, offset, weight);
}

std::unique_ptr<Layer> make_gemv(const std::string& isa, const Geometry& g, const Bias& bias,
                                 Activation activation, const Array<int32_t>& row,
                                 const Array<int64_t>& start, const Array<uint16_t>& index,
                                 const Array<float>& weight, int chunk, int group) {
  return packed("gemv", isa, g, activation, {chunk, group}, bias, row, start, index, weight);
}

std::unique_ptr<Layer> make_dense_gemv(const std::string& isa, const Geometry& g, const Bias& bias,
                                       Activation activation, const Array<float>& weight) {
  return packed("dense_gemv", isa, g, activation, {}, bias, weight);
}

std::unique_ptr<Layer> make_dense(const std::string& isa, const Geometry& g, const Bias& bias,
                                  Activation activation, const Array<int32_t>& channel,
                                  const Array<uint16_t>& tap, const Array<float>& weight, int group,
                                  int vectors, bool in_place) {
  return packed("dense", isa, g, activation, {group, vectors, in_place}, bias, channel, tap,
                weight);
}

std::unique_ptr<Layer> make_depthwise(const std::string& isa, const Geometry& g, const Bias& bias,
                                      Activation activation, const Array<int32_t>& channel,
                                      const Array<int64_t>& start, const Array<uint16_t>& tap,
                                      const Array<float>& weight) {
  return packed("depthwise", isa, g, activation, {}, bias, channel, start, tap, weight);
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

template <class Weight>
void bind_lists(nb::module_& m, const char* name, const char* what) {
  using namespace nb::literals;
  nb::class_<SparseArrays<Weight>>(m, name, what)
      .def(
          "__init__",
          [](SparseArrays<Weight>* self, const Array<int32_t>& row, const Array<uint16_t>& count,
             const Array<int64_t>& entry_start, const Array<int64_t>& weight_start,
             const Array<uint16_t>& index, const Array<Weight>& weight) {
            new (self) SparseArrays<Weight>{{row, count, entry_start, weight_start, index}, weight};
          },
          "row"_a.noconvert(), "count"_a.noconvert(), "entry_start"_a.noconvert(),
          "weight_start"_a.noconvert(), "index"_a.noconvert(), "weight"_a.noconvert(),
          "Holds the arrays; they are checked when a layer is made of them.");
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

  bind_lists<float>(m, "Lists", "Arrays 1 to 6 of a packed sparse matrix.");
  bind_lists<int32_t>(m, "PairLists", "The same of pairs of bfloat16 weights.");

  m.def("spmm", make_spmm, "isa"_a, "geometry"_a, "bias"_a.noconvert().none(),
        "activation"_a.noconvert(), "lists"_a, "channel"_a.noconvert(), "tap"_a.noconvert(),
        nb::kw_only(), "chunk"_a, "group"_a, "vectors"_a, "in_place"_a,
        "A convolution as sparse matrix times pixels.");
  m.def("pairs", make_pairs, "isa"_a, "geometry"_a, "bias"_a.noconvert().none(),
        "activation"_a.noconvert(), "lists"_a, "channel"_a.noconvert(), "tap"_a.noconvert(),
        nb::kw_only(), "chunk"_a, "group"_a, "vectors"_a,
        "The same in bfloat16; `isa`: one of `pair_isas`.");
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
