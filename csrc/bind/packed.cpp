// Packed layers as data, and what a packed file needs besides.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <string>
#include <vector>

#include "../layer.h"
#include "../packed/checksum.h"
#include "../packed/packing.h"
#include "../program/byte_steps.h"
#include "bind.h"

namespace openwork {

namespace {

using ReadOnly = nb::ndarray<nb::numpy, nb::ro>;

nb::dlpack::dtype dtype_of(Number type) {
  switch (type) {
    case Number::f32:
      return nb::dtype<float>();
    case Number::i32:
      return nb::dtype<int32_t>();
    case Number::i64:
      return nb::dtype<int64_t>();
    case Number::u16:
      return nb::dtype<uint16_t>();
    case Number::i8:
      return nb::dtype<int8_t>();
  }
  return {};
}

nb::tuple packing_of(nb::handle layer) {
  const Packing* packing = nb::isinstance<ByteLayer>(layer)
                               ? nb::cast<const ByteLayer&>(layer).packing.get()
                               : nb::cast<const Layer&>(layer).packing();
  if (!packing) throw nb::value_error("the layer's kernel cannot be written to a file");
  const Geometry& g = packing->geometry;
  const std::vector<int64_t> sizes{g.in_channels, g.out_channels, g.height,     g.width,
                                   g.kernel_y,    g.kernel_x,     g.stride_y,   g.stride_x,
                                   g.pad_y,       g.pad_x,        g.dilation_y, g.dilation_x,
                                   g.out_height,  g.out_width};
  nb::list arrays;
  for (const Numbers& numbers : packing->arrays) {
    const size_t shape[1] = {static_cast<size_t>(numbers.count)};
    arrays.append(
        nb::cast(ReadOnly(numbers.data, 1, shape, layer, nullptr, dtype_of(numbers.type))));
  }
  return nb::make_tuple(packing->kernel, packing->activation, sizes, packing->sizes, arrays);
}

using ByteArray = nb::ndarray<const uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

}  // namespace

void bind_packed(nb::module_& m) {
  using namespace nb::literals;
  m.def("packing", packing_of, "layer"_a,
        nb::sig("def packing(layer: Layer | ByteLayer) -> tuple[object, ...]"),
        "What a layer was made of: kernel, activation, geometry in the order of its arguments, the "
        "kernel's sizes, and its arrays, in float32 the bias first (empty for none).");
  m.def(
      "checksum", [](const ByteArray& bytes) { return checksum(bytes.data(), bytes.size()); },
      "bytes"_a.noconvert(), "XXH64 of the bytes.");
}

}  // namespace openwork
