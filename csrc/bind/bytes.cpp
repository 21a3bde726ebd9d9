// Packed convolutions of bytes.
#include "../bytes.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "../isa.h"
#include "../packed/make_byte_layer.h"
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
  Array<int64_t> rest_start;
  Array<uint16_t> rest_quad;
  Array<int8_t> rest_weight;
  Array<int32_t> offset;
  Array<float> scale, bias;
};

template <class T>
Numbers numbers_of(const Array<T>& array) {
  return Numbers::of(array.data(), static_cast<int64_t>(array.size()));
}

std::shared_ptr<const ByteLayer> make(const std::string& isa, const Geometry& g,
                                      const ByteArrays& arrays, bool plain, bool depthwise,
                                      int rows, int zero, bool to_float, float least, float most,
                                      int out_zero, int residual_zero, float residual_scale) {
  struct Kept {
    ByteArrays arrays;
    float numbers[3];
  };
  const auto kept = std::make_shared<Kept>(Kept{arrays, {least, most, residual_scale}});
  const ByteArrays& a = kept->arrays;
  return make_byte_layer(
      isa,
      {"bytes",
       g,
       Activation::none,
       {plain, depthwise, rows, zero, to_float, out_zero, residual_zero},
       {numbers_of(a.channel), numbers_of(a.tap), numbers_of(a.group_column), numbers_of(a.column),
        numbers_of(a.group_block), numbers_of(a.filter), numbers_of(a.quad_start),
        numbers_of(a.quad), numbers_of(a.weight), numbers_of(a.rest_start), numbers_of(a.rest_quad),
        numbers_of(a.rest_weight), numbers_of(a.offset), numbers_of(a.scale), numbers_of(a.bias),
        Numbers::of(kept->numbers, 3)}},
      kept);
}

bool is_narrow(const std::string& isa) {
  const std::vector<std::string> usable = byte_isas();
  return std::find(usable.begin(), usable.end(), isa) != usable.end() &&
         byte_kernels_of(isa).narrow;
}

}  // namespace

void bind_bytes(nb::module_& m) {
  using namespace nb::literals;
  m.def("byte_isas", byte_isas, "Instruction sets of kernels of bytes, worst first.");
  m.def("byte_isa_of", byte_isa_of, "isa"_a, "Which of them runs networks compiled for `isa`.");
  m.def("is_narrow", is_narrow, "isa"_a,
        "Whether kernels of bytes add products in 16 bits, for which layers are packed.");
  m.def("halves_vectors", halves_vectors, "isa"_a,
        "Whether this processor runs instructions of one of `byte_isas` in two halves.");
  m.attr("most_direct_map") = most_direct_map;
  nb::class_<ByteArrays>(m, "ByteArrays", "The arrays of a packed convolution of bytes.")
      .def(nb::init<Array<int32_t>, Array<uint16_t>, Array<int64_t>, Array<int32_t>, Array<int64_t>,
                    Array<int32_t>, Array<int64_t>, Array<uint16_t>, Array<int8_t>, Array<int64_t>,
                    Array<uint16_t>, Array<int8_t>, Array<int32_t>, Array<float>, Array<float>>(),
           "channel"_a.noconvert(), "tap"_a.noconvert(), "group_column"_a.noconvert(),
           "column"_a.noconvert(), "group_block"_a.noconvert(), "filter"_a.noconvert(),
           "quad_start"_a.noconvert(), "quad"_a.noconvert(), "weight"_a.noconvert(),
           "rest_start"_a.noconvert(), "rest_quad"_a.noconvert(), "rest_weight"_a.noconvert(),
           "offset"_a.noconvert(), "scale"_a.noconvert(), "bias"_a.noconvert(),
           "Checked when a layer is made of them.");
  nb::class_<ByteLayer>(m, "ByteLayer", "A packed convolution of bytes.")
      .def_prop_ro(
          "name", [](const ByteLayer& layer) { return layer.kernels ? layer.kernels->name : ""; },
          "Instruction set; empty for one that cannot run here.");
  m.def("byte_conv", make, "isa"_a, "geometry"_a, "arrays"_a, nb::kw_only(), "plain"_a,
        "depthwise"_a, "rows"_a, "zero"_a, "to_float"_a, "least"_a, "most"_a, "out_zero"_a,
        "residual_zero"_a, "residual_scale"_a, "A convolution of bytes.");
}

}  // namespace openwork
