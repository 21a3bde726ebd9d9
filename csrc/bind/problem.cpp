// What a layer computes, by name: activations and sizes, checked when they are made.
#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <vector>

#include "../checks.h"
#include "../functions.h"
#include "../normalize.h"
#include "../planes_layout.h"
#include "bind.h"

namespace openwork {

namespace {

// Python's integers may be larger than any size.
int whole(const char* name, int64_t value) {
  require_range(name, value, INT32_MIN, INT32_MAX);
  return static_cast<int>(value);
}

void make_geometry(Geometry* self, int64_t in_channels, int64_t out_channels, int64_t height,
                   int64_t width, int64_t kernel_y, int64_t kernel_x, int64_t stride_y,
                   int64_t stride_x, int64_t pad_y, int64_t pad_x, int64_t dilation_y,
                   int64_t dilation_x, int64_t out_height, int64_t out_width) {
  const Geometry geometry{.in_channels = whole("in_channels", in_channels),
                          .out_channels = whole("out_channels", out_channels),
                          .height = whole("height", height),
                          .width = whole("width", width),
                          .kernel_y = whole("kernel_y", kernel_y),
                          .kernel_x = whole("kernel_x", kernel_x),
                          .stride_y = whole("stride_y", stride_y),
                          .stride_x = whole("stride_x", stride_x),
                          .pad_y = whole("pad_y", pad_y),
                          .pad_x = whole("pad_x", pad_x),
                          .dilation_y = whole("dilation_y", dilation_y),
                          .dilation_x = whole("dilation_x", dilation_x),
                          .out_height = whole("out_height", out_height),
                          .out_width = whole("out_width", out_width)};
  check(geometry);
  new (self) Geometry(geometry);
}

void make_pool(Pool* self, int64_t channels, int64_t height, int64_t width, int64_t kernel_y,
               int64_t kernel_x, int64_t stride_y, int64_t stride_x, int64_t pad_y, int64_t pad_x,
               int64_t out_height, int64_t out_width, bool average, bool count_padding,
               Activation activation) {
  const Pool pool{.channels = whole("channels", channels),
                  .height = whole("height", height),
                  .width = whole("width", width),
                  .kernel_y = whole("kernel_y", kernel_y),
                  .kernel_x = whole("kernel_x", kernel_x),
                  .stride_y = whole("stride_y", stride_y),
                  .stride_x = whole("stride_x", stride_x),
                  .pad_y = whole("pad_y", pad_y),
                  .pad_x = whole("pad_x", pad_x),
                  .out_height = whole("out_height", out_height),
                  .out_width = whole("out_width", out_width),
                  .average = average,
                  .count_padding = count_padding,
                  .activation = activation};
  check(pool);
  new (self) Pool(pool);
}

std::vector<int64_t> tap_offsets(const Geometry& geometry) {
  const PlanesLayout layout(geometry);
  std::vector<int64_t> offsets;
  for (int ky = 0; ky < geometry.kernel_y; ++ky)
    for (int kx = 0; kx < geometry.kernel_x; ++kx) offsets.push_back(layout.tap(geometry, ky, kx));
  offsets.push_back(layout.channel);
  return offsets;
}

}  // namespace

void bind_problem(nb::module_& m) {
  using namespace nb::literals;

#define OPENWORK_VALUE(name) .value(#name, Activation::name)
  nb::enum_<Activation>(m, "Activation", "Applied to each finished output.")
      OPENWORK_ACTIVATIONS(OPENWORK_VALUE);
#undef OPENWORK_VALUE

#define OPENWORK_VALUE(name, parameters) .value(#name, Function::name)
  nb::enum_<Function>(m, "Function", "Applied to each number alone.")
      OPENWORK_FUNCTIONS(OPENWORK_VALUE);
#undef OPENWORK_VALUE

#define OPENWORK_VALUE(name) .value(#name, Reduction::name)
  nb::enum_<Reduction>(m, "Reduction", "What the numbers along an axis become.")
      OPENWORK_REDUCTIONS(OPENWORK_VALUE);
#undef OPENWORK_VALUE
#define OPENWORK_VALUE(name) .value(#name, Operation::name)
  nb::enum_<Operation>(m, "Operation", "Applied to two numbers.")
      OPENWORK_OPERATIONS(OPENWORK_VALUE);
#undef OPENWORK_VALUE

  nb::class_<Geometry>(m, "Geometry", "Sizes of a convolution on one map; y is vertical.")
      .def("__init__", make_geometry, nb::kw_only(), "in_channels"_a, "out_channels"_a, "height"_a,
           "width"_a, "kernel_y"_a, "kernel_x"_a, "stride_y"_a, "stride_x"_a, "pad_y"_a, "pad_x"_a,
           "dilation_y"_a, "dilation_x"_a, "out_height"_a, "out_width"_a,
           "Raises ValueError for sizes that no kernel takes.")
      .def_ro("in_channels", &Geometry::in_channels)
      .def_ro("out_channels", &Geometry::out_channels)
      .def_ro("height", &Geometry::height)
      .def_ro("width", &Geometry::width)
      .def_ro("kernel_y", &Geometry::kernel_y)
      .def_ro("kernel_x", &Geometry::kernel_x)
      .def_ro("stride_y", &Geometry::stride_y)
      .def_ro("stride_x", &Geometry::stride_x)
      .def_ro("pad_y", &Geometry::pad_y)
      .def_ro("pad_x", &Geometry::pad_x)
      .def_ro("dilation_y", &Geometry::dilation_y)
      .def_ro("dilation_x", &Geometry::dilation_x)
      .def_ro("out_height", &Geometry::out_height)
      .def_ro("out_width", &Geometry::out_width);

  nb::class_<Pool>(m, "Pool", "Sizes of a pooling of one map; y is vertical.")
      .def(
          "__init__", make_pool, nb::kw_only(), "channels"_a, "height"_a, "width"_a, "kernel_y"_a,
          "kernel_x"_a, "stride_y"_a, "stride_x"_a, "pad_y"_a, "pad_x"_a, "out_height"_a,
          "out_width"_a, "average"_a, "count_padding"_a,
          "activation"_a.noconvert() = Activation::none,
          "Raises ValueError for sizes that the kernel does not take. `average`: else the maximum; "
          "`count_padding`: averages divide by the window, padding included.")
      .def_ro("channels", &Pool::channels)
      .def_ro("height", &Pool::height)
      .def_ro("width", &Pool::width)
      .def_ro("kernel_y", &Pool::kernel_y)
      .def_ro("kernel_x", &Pool::kernel_x)
      .def_ro("stride_y", &Pool::stride_y)
      .def_ro("stride_x", &Pool::stride_x)
      .def_ro("pad_y", &Pool::pad_y)
      .def_ro("pad_x", &Pool::pad_x)
      .def_ro("out_height", &Pool::out_height)
      .def_ro("out_width", &Pool::out_width)
      .def_ro("average", &Pool::average)
      .def_ro("count_padding", &Pool::count_padding)
      .def_ro("activation", &Pool::activation);

  m.def("tap_offsets", tap_offsets, "geometry"_a,
        "Offsets of all taps within one padded channel, row by row, then the channel's floats.");
}

}  // namespace openwork
