// The Python module: one function per kernel that checks a packed layer and holds on to it.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <memory>

#include "../isa.h"
#include "../planes_layout.h"
#include "checks.h"
#include "layer.h"
#include "program.h"

namespace openwork {

namespace {

template <class T>
using Array = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Bias = std::optional<Array<float>>;

template <class T>
void require_size(const char* name, const Array<T>& array, int64_t wanted) {
  if (static_cast<int64_t>(array.size()) != wanted)
    throw std::invalid_argument("`" + std::string(name) + "` has " + std::to_string(array.size()) +
                                " entries, but needs " + std::to_string(wanted));
}

Geometry geometry_of(const std::vector<int64_t>& numbers) {
  const std::vector<int> n = whole_numbers("geometry", numbers, 14);
  const Geometry geometry{n[0], n[1], n[2], n[3],  n[4],  n[5],  n[6],
                          n[7], n[8], n[9], n[10], n[11], n[12], n[13]};
  check(geometry);
  return geometry;
}

Epilogue epilogue_of(const Geometry& geometry, const Bias& bias, int activation) {
  if (activation < 0 || activation > static_cast<int>(Activation::hardsigmoid))
    throw std::invalid_argument("`activation`=" + std::to_string(activation) + " is unknown");
  if (bias) require_size("bias", *bias, geometry.out_channels);
  return {bias ? bias->data() : nullptr, static_cast<Activation>(activation)};
}

nb::object owner(const Bias& bias) { return bias ? nb::cast(*bias) : nb::none(); }

template <class Plan>
std::unique_ptr<Layer> hold(const Plan& plan, const Kernel<Plan>& kernel,
                            std::vector<nb::object> arrays) {
  return std::make_unique<PackedLayer<Plan>>(plan, kernel, std::move(arrays));
}

// The arrays of `Lists`, as pack.py numbers them.
struct ListArrays {
  Array<int32_t> row;
  Array<uint16_t> count;
  Array<int64_t> entry_start;
  Array<int64_t> weight_start;
  Array<uint16_t> index;
  Array<float> weight;

  Lists view(int inputs, int rows, int chunk, int group, int positions) const {
    if (chunk < 1 || (group != 1 && group != 2 && group != 4))
      throw std::invalid_argument("`chunk`=" + std::to_string(chunk) + " must be at least 1 and " +
                                  "`group`=" + std::to_string(group) + " must be 1, 2 or 4");
    const int chunks = (inputs + chunk - 1) / chunk;
    const int64_t groups = static_cast<int64_t>(entry_start.size()) / chunks;
    require_size("entry_start", entry_start, chunks * groups);
    require_size("weight_start", weight_start, chunks * groups);
    require_size("row", row, chunks * groups * group);
    require_size("count", count, chunks * groups * ((1 << group) - 1));
    const int64_t live = static_cast<int64_t>(weight.size()) / positions;
    require_size("weight", weight, live * positions);
    const Lists lists{inputs,
                      rows,
                      chunk,
                      chunks,
                      group,
                      static_cast<int>(groups),
                      live,
                      row.data(),
                      count.data(),
                      entry_start.data(),
                      weight_start.data(),
                      index.data(),
                      weight.data()};
    check(lists, static_cast<int64_t>(index.size()));
    return lists;
  }

  std::vector<nb::object> owners(const Bias& bias) const {
    return {nb::cast(row),
            nb::cast(count),
            nb::cast(entry_start),
            nb::cast(weight_start),
            nb::cast(index),
            nb::cast(weight),
            owner(bias)};
  }
};

std::unique_ptr<Layer> make_spmm(const std::string& isa, const std::vector<int64_t>& sizes,
                                 const Bias& bias, int activation, const ListArrays& arrays,
                                 const Array<int32_t>& channel, const Array<uint16_t>& tap,
                                 int chunk, int group, int vectors, bool in_place) {
  const Geometry g = geometry_of(sizes);
  const int inputs = static_cast<int>(channel.size());
  require_size("tap", tap, inputs);
  const Lists lists = arrays.view(inputs, g.out_channels, chunk, group, 1);
  const bool plain = g.kernel_y == 1 && g.kernel_x == 1 && g.stride_y == 1 && g.stride_x == 1 &&
                     g.pad_y == 0 && g.pad_x == 0 && inputs == g.in_channels;
  const SpmmPlan plan{
      g,       epilogue_of(g, bias, activation), lists, channel.data(), tap.data(), plain, vectors,
      in_place};
  check(plan);
  std::vector<nb::object> owners = arrays.owners(bias);
  owners.push_back(nb::cast(channel));
  owners.push_back(nb::cast(tap));
  return hold(plan, kernels_of(isa).spmm, std::move(owners));
}

std::unique_ptr<Layer> make_winograd(const std::string& isa, const std::vector<int64_t>& sizes,
                                     const Bias& bias, int activation, const ListArrays& arrays,
                                     int chunk, int group, int vectors, int output) {
  const Geometry geometry = geometry_of(sizes);
  const Lists lists = arrays.view(geometry.in_channels, geometry.out_channels, chunk, group,
                                  (output + 2) * (output + 2));
  const WinogradPlan plan{geometry, epilogue_of(geometry, bias, activation), lists, vectors,
                          output};
  check(plan);
  return hold(plan, kernels_of(isa).winograd, arrays.owners(bias));
}

std::unique_ptr<Layer> make_direct(const std::string& isa, const std::vector<int64_t>& sizes,
                                   const Bias& bias, int activation, const Array<int64_t>& start,
                                   const Array<int32_t>& index, const Array<float>& weight,
                                   int rows, int vectors) {
  const Geometry geometry = geometry_of(sizes);
  const int64_t connections = static_cast<int64_t>(index.size());
  require_size("start", start, geometry.out_channels + 1);
  require_size("weight", weight, connections * geometry.kernel_y * geometry.kernel_x);
  const DirectPlan plan{geometry,     epilogue_of(geometry, bias, activation),
                        rows,         vectors,
                        start.data(), index.data(),
                        weight.data()};
  check(plan, connections);
  return hold(plan, kernels_of(isa).direct,
              {nb::cast(start), nb::cast(index), nb::cast(weight), owner(bias)});
}

std::unique_ptr<Layer> make_taps(const std::string& isa, const std::vector<int64_t>& sizes,
                                 const Bias& bias, int activation, const Array<int64_t>& start,
                                 const Array<int32_t>& offset, const Array<float>& weight, int rows,
                                 int vectors, bool flat) {
  const Geometry geometry = geometry_of(sizes);
  const int64_t taps = static_cast<int64_t>(offset.size());
  require_size("start", start, geometry.out_channels + 1);
  require_size("weight", weight, taps);
  const TapsPlan plan{geometry,      epilogue_of(geometry, bias, activation),
                      rows,          vectors,
                      flat,          start.data(),
                      offset.data(), weight.data()};
  check(plan, taps);
  return hold(plan, kernels_of(isa).taps,
              {nb::cast(start), nb::cast(offset), nb::cast(weight), owner(bias)});
}

// Offsets of all taps within one channel, row by row, then the floats of one channel.
std::vector<int64_t> tap_offsets(const std::vector<int64_t>& sizes) {
  const Geometry geometry = geometry_of(sizes);
  const PlanesLayout layout(geometry);
  std::vector<int64_t> offsets;
  for (int ky = 0; ky < geometry.kernel_y; ++ky)
    for (int kx = 0; kx < geometry.kernel_x; ++kx) offsets.push_back(layout.tap(geometry, ky, kx));
  offsets.push_back(layout.channel);
  return offsets;
}

std::vector<std::pair<int, int>> pairs(const TileSizes& tiles) {
  std::vector<std::pair<int, int>> found;
  for (int i = 0; i < tiles.count; ++i) found.emplace_back(tiles.sizes[i][0], tiles.sizes[i][1]);
  return found;
}

}  // namespace

}  // namespace openwork

NB_MODULE(_C, m) {
  using namespace openwork;
  using namespace nb::literals;

  m.def("usable_isas", usable_isas, "Instruction sets that can run here, worst first.");
  m.def("chosen_isa", chosen_isa, "OPENWORK_ISA if set, else the best usable one.");
  m.def(
      "lanes", [](const std::string& isa) { return kernels_of(isa).lanes; }, "isa"_a,
      "Floats in one vector of `isa`.");
  m.def(
      "most_vectors",
      [](const std::string& isa, int group) {
        if (group != 1 && group != 2 && group != 4)
          throw std::invalid_argument("`group`=" + std::to_string(group) + " must be 1, 2 or 4");
        return kernels_of(isa).most_vectors(group);
      },
      "isa"_a, "group"_a, "Most vectors in a tile of a sparse product.");
  m.def(
      "row_tiles", [](const std::string& isa) { return pairs(kernels_of(isa).row_tiles); }, "isa"_a,
      "(rows, vectors) of the direct kernel's tiles.");
  m.def(
      "tap_tiles", [](const std::string& isa) { return pairs(kernels_of(isa).tap_tiles); }, "isa"_a,
      "(rows, vectors) of the taps kernel's tiles.");
  m.attr("filter_block") = filter_block;
  m.attr("most_taps") = most_taps;
  m.def("tap_offsets", tap_offsets, "geometry"_a);
  m.def(
      "geometry_refusal",
      [](const std::vector<int64_t>& sizes) { return refusal([&] { geometry_of(sizes); }); },
      "geometry"_a, "Why no kernel takes a geometry; None if its sizes are within bounds.");

  nb::class_<Layer>(m, "Layer", "One packed layer, ready to run; holds its arrays.")
      .def("run", &Layer::run, "input"_a.noconvert(), "output"_a.noconvert(),
           "residual"_a.noconvert().none(), "workspace"_a.noconvert(), "threads"_a)
      .def("workspace", &Layer::workspace, "batch"_a, "threads"_a,
           "Floats that `run` needs as workspace.");

  nb::class_<ListArrays>(m, "Lists", "Arrays 1 to 6 of a packed sparse matrix.")
      .def(
          "__init__",
          [](ListArrays* self, const Array<int32_t>& row, const Array<uint16_t>& count,
             const Array<int64_t>& entry_start, const Array<int64_t>& weight_start,
             const Array<uint16_t>& index, const Array<float>& weight) {
            new (self) ListArrays{row, count, entry_start, weight_start, index, weight};
          },
          "row"_a.noconvert(), "count"_a.noconvert(), "entry_start"_a.noconvert(),
          "weight_start"_a.noconvert(), "index"_a.noconvert(), "weight"_a.noconvert());

  m.def("spmm", make_spmm, "isa"_a, "geometry"_a, "bias"_a.noconvert().none(), "activation"_a,
        "lists"_a, "channel"_a.noconvert(), "tap"_a.noconvert(), "chunk"_a, "group"_a, "vectors"_a,
        "in_place"_a);
  m.def("winograd", make_winograd, "isa"_a, "geometry"_a, "bias"_a.noconvert().none(),
        "activation"_a, "lists"_a, "chunk"_a, "group"_a, "vectors"_a, "output"_a);
  m.def("direct", make_direct, "isa"_a, "geometry"_a, "bias"_a.noconvert().none(), "activation"_a,
        "start"_a.noconvert(), "index"_a.noconvert(), "weight"_a.noconvert(), "rows"_a,
        "vectors"_a);
  m.def("taps", make_taps, "isa"_a, "geometry"_a, "bias"_a.noconvert().none(), "activation"_a,
        "start"_a.noconvert(), "offset"_a.noconvert(), "weight"_a.noconvert(), "rows"_a,
        "vectors"_a, "flat"_a);
  bind_program(m);
}
