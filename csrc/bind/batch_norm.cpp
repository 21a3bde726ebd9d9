// Batch normalisation in training, on arrays that are checked in every call.
#include "../batch_norm.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <string>

#include "../checks.h"
#include "../isa.h"
#include "arrays.h"
#include "bind.h"

namespace openwork {

namespace {

using PerChannel =
    std::optional<nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>>;
// Mean, one over the standard deviation, and unbiased variance of each channel: (3, channels).
using Statistics = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using OutStatistics = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
// Gradients of weight and bias: (2, channels).
using OutGradients = std::optional<OutStatistics>;

NormAct act_of(const std::string& name) {
  if (name == "none") return NormAct::none;
  if (name == "relu") return NormAct::relu;
  if (name == "relu6") return NormAct::relu6;
  fail("`act`='", name, "' must be 'none', 'relu' or 'relu6'");
}

template <class T>
NormSizes sizes_of(const Maps<T>& input) {
  const auto size = [&](size_t axis) { return static_cast<int64_t>(input.shape(axis)); };
  return norm_sizes(size(0), size(1), size(2), size(3));
}

template <class Tensor, class T>
void require_like(const char* name, const Tensor& tensor, const Maps<T>& input) {
  for (size_t axis = 0; axis < 4; ++axis)
    if (tensor.shape(axis) != input.shape(axis))
      fail("`", name, "` has size ", static_cast<int64_t>(tensor.shape(axis)), " along axis ",
           static_cast<int64_t>(axis), ", but `input` has ",
           static_cast<int64_t>(input.shape(axis)));
}

const float* per_channel(const char* name, const PerChannel& values, const NormSizes& sizes) {
  if (!values) return nullptr;
  if (static_cast<int64_t>(values->size()) != sizes.channels)
    fail("`", name, "` has ", static_cast<int64_t>(values->size()), " entries, but `input` has ",
         sizes.channels, " channels");
  return values->data();
}

template <class Tensor>
void require_rows(const char* name, const Tensor& tensor, int64_t rows, const NormSizes& sizes) {
  const auto found = static_cast<int64_t>(tensor.shape(0));
  const auto channels = static_cast<int64_t>(tensor.shape(1));
  if (found != rows || channels != sizes.channels)
    fail("`", name, "` has shape (", found, ", ", channels, "), but must have (", rows, ", ",
         sizes.channels, ")");
}

template <class Tensor, class T>
auto maps_like(const char* name, const std::optional<Tensor>& tensor, const Maps<T>& input)
    -> decltype(tensor->data()) {
  if (!tensor) return nullptr;
  require_like(name, *tensor, input);
  return tensor->data();
}

template <class T>
void forward(const std::string& isa, const Maps<T>& input, const std::optional<Maps<T>>& residual,
             const PerChannel& weight, const PerChannel& bias, double eps, const std::string& act,
             const OutMaps<T>& output, const OutStatistics& statistics, int64_t threads) {
  const NormSizes sizes = sizes_of(input);
  check_call(sizes.batch, threads);
  require_like("output", output, input);
  require_rows("statistics", statistics, 3, sizes);
  const NormForward call{.sizes = sizes,
                         .type = map_type<T>,
                         .act = act_of(act),
                         .eps = eps,
                         .input = input.data(),
                         .residual = maps_like("residual", residual, input),
                         .weight = per_channel("weight", weight, sizes),
                         .bias = per_channel("bias", bias, sizes),
                         .output = output.data(),
                         .mean = statistics.data(),
                         .rstd = statistics.data() + sizes.channels,
                         .unbiased = statistics.data() + 2 * static_cast<int64_t>(sizes.channels)};
  const BatchNorm& kernels = kernels_of(isa).batch_norm;
  nb::gil_scoped_release release;
  kernels.forward(call, static_cast<int>(threads));
}

template <class T>
void backward(const std::string& isa, const Maps<T>& gradient, const Maps<T>& input,
              const PerChannel& weight, const PerChannel& bias, const Statistics& statistics,
              const std::optional<Maps<T>>& output, const std::string& act,
              const std::optional<OutMaps<T>>& grad_input,
              const std::optional<OutMaps<T>>& grad_residual, const OutGradients& grad_affine,
              int64_t threads) {
  const NormSizes sizes = sizes_of(input);
  check_call(sizes.batch, threads);
  require_like("gradient", gradient, input);
  require_rows("statistics", statistics, 3, sizes);
  if (grad_affine) require_rows("grad_affine", *grad_affine, 2, sizes);
  if (grad_residual && !(act != "none" && output))
    fail("`grad_residual` needs `act` and `output`; without an activation it is `gradient` itself");
  const NormBackward call{
      .sizes = sizes,
      .type = map_type<T>,
      .act = act_of(act),
      .gradient = gradient.data(),
      .input = input.data(),
      .weight = per_channel("weight", weight, sizes),
      .bias = per_channel("bias", bias, sizes),
      .mean = statistics.data(),
      .rstd = statistics.data() + sizes.channels,
      .output = maps_like("output", output, input),
      .grad_input = maps_like("grad_input", grad_input, input),
      .grad_residual = maps_like("grad_residual", grad_residual, input),
      .grad_weight = grad_affine ? grad_affine->data() : nullptr,
      .grad_bias = grad_affine ? grad_affine->data() + sizes.channels : nullptr};
  const BatchNorm& kernels = kernels_of(isa).batch_norm;
  nb::gil_scoped_release release;
  kernels.backward(call, static_cast<int>(threads));
}

template <class T>
void bind_for(nb::module_& m) {
  using namespace nb::literals;
  // A converted copy of an output would be written to and thrown away.
  m.def("batch_norm_forward", forward<T>, "isa"_a, nb::kw_only(), "input"_a.noconvert(),
        "residual"_a.noconvert().none(), "weight"_a.noconvert().none(), "bias"_a.noconvert().none(),
        "eps"_a, "act"_a, "output"_a.noconvert(), "statistics"_a.noconvert(), "threads"_a,
        "Normalise `input` by its batch, add `residual`, then `act`: 'none', 'relu' or 'relu6'. "
        "`statistics`: (3, channels) for the mean, one over the standard deviation, and the "
        "unbiased variance.");
  m.def("batch_norm_backward", backward<T>, "isa"_a, nb::kw_only(), "gradient"_a.noconvert(),
        "input"_a.noconvert(), "weight"_a.noconvert().none(), "bias"_a.noconvert().none(),
        "statistics"_a.noconvert(), "output"_a.noconvert().none(), "act"_a,
        "grad_input"_a.noconvert().none(), "grad_residual"_a.noconvert().none(),
        "grad_affine"_a.noconvert().none(), "threads"_a,
        "Gradients of what `batch_norm_forward` gave. `output` is needed if a residual was added "
        "before an activation; `grad_affine`: (2, channels) for weight and bias.");
}

}  // namespace

void bind_batch_norm(nb::module_& m) {
  bind_for<float>(m);
  bind_for<uint16_t>(m);
}

}  // namespace openwork
