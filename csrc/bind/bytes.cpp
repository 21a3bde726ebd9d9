// Packed convolutions of bytes.
#include "../bytes.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "../checks.h"
#include "../program/byte_steps.h"
#include "arrays.h"
#include "bind.h"

namespace openwork {

namespace {

struct ByteArrays {
  Array<int32_t> channel;
  Array<uint16_t> tap;
  Array<int64_t> group_column;
  Array<int32_t> column;
  Array<int64_t> group_block;
  Array<int32_t> filter;
  Array<int64_t> quad_start;
  Array<uint16_t> quad;
  Array<int8_t> weight;
  Array<int32_t> offset;
  Array<float> scale, bias;
};

// What a plan points into.
struct Held {
  ByteArrays arrays;
  std::vector<int32_t> place;
};

int count_of(int64_t size, const char* name) {
  require_range(name, size, 1, int64_t{1} << 30);
  return static_cast<int>(size);
}

void require_finite(const char* name, const Array<float>& array) {
  for (size_t i = 0; i < array.size(); ++i)
    if (!std::isfinite(array.data()[i])) fail("`", name, "` must be finite");
}

std::shared_ptr<ByteLayer> make(const std::string& isa, const Geometry& g, const ByteArrays& arrays,
                                bool plain, bool depthwise, int rows, int zero, bool to_float,
                                float least, float most, int out_zero, int residual_zero,
                                float residual_scale) {
  const auto held = std::make_shared<Held>(arrays);
  const ByteArrays& a = held->arrays;
  require_size("tap", a.tap, static_cast<int64_t>(a.channel.size()));
  require_size("group_block", a.group_block, static_cast<int64_t>(a.group_column.size()));
  require_size("offset", a.offset, g.out_channels);
  require_size("scale", a.scale, g.out_channels);
  require_size("bias", a.bias, g.out_channels);
  require_finite("scale", a.scale);
  require_finite("bias", a.bias);
  if (!std::isfinite(residual_scale)) fail("`residual_scale` must be finite");
  require_range("rows", rows, 1, 16);
  const int blocks = count_of(static_cast<int64_t>(a.quad_start.size()) - 1, "blocks");
  require_size("filter", a.filter, static_cast<int64_t>(blocks) * rows);
  BytePlan plan{.geometry = g,
                .plain = plain,
                .columns = count_of(static_cast<int64_t>(a.channel.size()), "columns"),
                .channel = a.channel.data(),
                .tap = a.tap.data(),
                .groups = count_of(static_cast<int64_t>(a.group_column.size()) - 1, "groups"),
                .group_column = a.group_column.data(),
                .column = a.column.data(),
                .place = nullptr,
                .group_block = a.group_block.data(),
                .blocks = blocks,
                .rows = rows,
                .filter = a.filter.data(),
                .quad_start = a.quad_start.data(),
                .quad = a.quad.data(),
                .weight = a.weight.data(),
                .depthwise = depthwise,
                .most_quads = 0,
                .zero = zero,
                .offset = a.offset.data(),
                .scale = a.scale.data(),
                .bias = a.bias.data(),
                .to_float = to_float,
                .least = least,
                .most = most,
                .out_zero = out_zero,
                .residual_zero = residual_zero,
                .residual_scale = residual_scale};
  for (int group = 0; group < plan.groups; ++group)
    plan.most_quads = static_cast<int>(std::max<int64_t>(
        plan.most_quads, (plan.group_column[group + 1] - plan.group_column[group]) / 4));
  check(plan, static_cast<int64_t>(a.column.size()), static_cast<int64_t>(a.quad.size()),
        static_cast<int64_t>(a.weight.size()));
  held->place = places(plan);
  plan.place = held->place.data();
  return std::make_shared<ByteLayer>(ByteLayer{plan, byte_kernels_of(isa), held});
}

}  // namespace

void bind_bytes(nb::module_& m) {
  using namespace nb::literals;
  m.def("byte_isas", byte_isas, "Instruction sets of kernels of bytes, worst first.");
  m.def("byte_isa_of", byte_isa_of, "isa"_a, "Which of them runs networks compiled for `isa`.");
  nb::class_<ByteArrays>(m, "ByteArrays", "The arrays of a packed convolution of bytes.")
      .def(nb::init<Array<int32_t>, Array<uint16_t>, Array<int64_t>, Array<int32_t>, Array<int64_t>,
                    Array<int32_t>, Array<int64_t>, Array<uint16_t>, Array<int8_t>, Array<int32_t>,
                    Array<float>, Array<float>>(),
           "channel"_a.noconvert(), "tap"_a.noconvert(), "group_column"_a.noconvert(),
           "column"_a.noconvert(), "group_block"_a.noconvert(), "filter"_a.noconvert(),
           "quad_start"_a.noconvert(), "quad"_a.noconvert(), "weight"_a.noconvert(),
           "offset"_a.noconvert(), "scale"_a.noconvert(), "bias"_a.noconvert(),
           "Checked when a layer is made of them.");
  nb::class_<ByteLayer>(m, "ByteLayer", "A packed convolution of bytes.")
      .def_prop_ro(
          "name", [](const ByteLayer& layer) { return layer.kernels.name; }, "Instruction set.");
  m.def("byte_conv", make, "isa"_a, "geometry"_a, "arrays"_a, nb::kw_only(), "plain"_a,
        "depthwise"_a, "rows"_a, "zero"_a, "to_float"_a, "least"_a, "most"_a, "out_zero"_a,
        "residual_zero"_a, "residual_scale"_a, "A convolution of bytes.");
}

}  // namespace openwork
