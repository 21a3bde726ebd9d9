// Max pooling in training, on arrays that are checked in every call.
#include "../max_pool2d.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <string>
#include <utility>

#include "../checks.h"
#include "../isa.h"
#include "arrays.h"
#include "bind.h"

namespace openwork {

namespace {

using Pair = std::pair<int, int>;
using Taps = nb::ndarray<const uint8_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using OutTaps = nb::ndarray<uint8_t, nb::ndim<4>, nb::c_contig, nb::device::cpu>;

// `in`: the larger maps, `out`: the pooled ones.
template <class In, class Out>
Pool pool_of(const In& in, const Out& out, Pair kernel, Pair stride, Pair pad) {
  const auto size = [](const auto& maps, size_t axis) {
    const auto found = static_cast<int64_t>(maps.shape(axis));
    require_range("size", found, 1, most_size);
    return static_cast<int>(found);
  };
  const Pool pool{.channels = size(in, 1),
                  .height = size(in, 2),
                  .width = size(in, 3),
                  .kernel_y = kernel.first,
                  .kernel_x = kernel.second,
                  .stride_y = stride.first,
                  .stride_x = stride.second,
                  .pad_y = pad.first,
                  .pad_x = pad.second,
                  .out_height = size(out, 2),
                  .out_width = size(out, 3),
                  .average = false,
                  .count_padding = false};
  check(pool);
  require_range("kernel_y * kernel_x", static_cast<int64_t>(pool.kernel_y) * pool.kernel_x, 1,
                most_pool_taps);
  return pool;
}

template <class T>
void forward(const std::string& isa, const Maps<T>& input, const OutMaps<T>& output,
             const OutTaps& tap, Pair kernel, Pair stride, Pair pad, int64_t threads) {
  const Pool pool = pool_of(input, output, kernel, stride, pad);
  const auto batch = static_cast<int64_t>(input.shape(0));
  check_call(batch, threads);
  check_shape("output", output, batch, pool.channels, pool.out_height, pool.out_width);
  check_shape("tap", tap, batch, pool.channels, pool.out_height, pool.out_width);
  const MaxPool2d& kernels = kernels_of(isa).max_pool2d;
  nb::gil_scoped_release release;
  kernels.forward(pool, map_type<T>, input.data(), output.data(), tap.data(),
                  static_cast<int>(batch), static_cast<int>(threads));
}

template <class T>
void backward(const std::string& isa, const Maps<T>& gradient, const Taps& tap,
              const OutMaps<T>& grad_input, Pair kernel, Pair stride, Pair pad, int64_t threads) {
  const Pool pool = pool_of(grad_input, gradient, kernel, stride, pad);
  const auto batch = static_cast<int64_t>(grad_input.shape(0));
  check_call(batch, threads);
  check_shape("gradient", gradient, batch, pool.channels, pool.out_height, pool.out_width);
  check_shape("tap", tap, batch, pool.channels, pool.out_height, pool.out_width);
  const MaxPool2d& kernels = kernels_of(isa).max_pool2d;
  bool inside;
  {
    nb::gil_scoped_release release;
    inside = kernels.backward(pool, map_type<T>, gradient.data(), tap.data(), grad_input.data(),
                              static_cast<int>(batch), static_cast<int>(threads));
  }
  if (!inside) fail("`tap` names a value outside the map");
}

template <class T>
void bind_for(nb::module_& m) {
  using namespace nb::literals;
  m.def("max_pool2d_forward", forward<T>, "isa"_a, nb::kw_only(), "input"_a.noconvert(),
        "output"_a.noconvert(), "tap"_a.noconvert(), "kernel"_a, "stride"_a, "pad"_a, "threads"_a,
        "Maxima over windows; `tap`: of each output, the window's tap that it came from.");
  m.def("max_pool2d_backward", backward<T>, "isa"_a, nb::kw_only(), "gradient"_a.noconvert(),
        "tap"_a.noconvert(), "grad_input"_a.noconvert(), "kernel"_a, "stride"_a, "pad"_a,
        "threads"_a, "Gradients of what `max_pool2d_forward` gave.");
}

}  // namespace

void bind_max_pool2d(nb::module_& m) {
  bind_for<float>(m);
  bind_for<uint16_t>(m);
}

}  // namespace openwork
